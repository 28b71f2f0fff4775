//! Records: one event in a frame.

use super::bytes::{put, u16_at, u32_at};
use super::frame::{FRAME_HEADER, FrameHead, FrameKind};
use crate::error::AppendError;
use crate::types::{
    MAX_NOT_TO, MAX_TOPICS, NewEvent, USER_TAGS, check_name, check_topic, to_u64, to_usize,
};

const PAYLOAD_AT: usize = 0;
const ATTRIBUTES_AT: usize = PAYLOAD_AT + 4;
const AUDIENCE_AT: usize = ATTRIBUTES_AT + 2;
/// Bytes of a record's header.
pub(super) const RECORD_HEADER: usize = AUDIENCE_AT + 2;
/// The two counts that an audience begins with.
const COUNTS: usize = 2;
/// The shortest record: one topic of one byte.
pub(super) const LEAST_RECORD: usize = RECORD_HEADER + COUNTS + 1 + 1;
const _: () = assert!(RECORD_HEADER == 8 && LEAST_RECORD == 12);

/// The longest attributes: their length has two bytes.
const MAX_ATTRIBUTES: usize = 65_535;
/// Tag and length of an attribute.
const ATTRIBUTE_HEADER: usize = 1 + 2;

/// Name, id and from.
const TEXT_TAGS: [u8; 3] = [NAME, ID, FROM];
const NAME: u8 = 1;
const ID: u8 = 2;
const FROM: u8 = 3;

/// How long the parts of a record are, and that they may stand in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measure {
    audience: u16,
    attributes: u16,
    payload: u32,
}

impl Measure {
    /// Checks an event and measures its record.
    #[inline]
    pub(super) fn of(event: &NewEvent<'_>, limit: u32) -> Result<Measure, AppendError> {
        let audience = audience_bytes(event)?;
        let attributes = attribute_bytes(event)?;
        let bytes = audience + attributes + event.payload().len();
        let too_large = || AppendError::TooLarge {
            bytes: to_u64(bytes),
            limit: limit.into(),
        };
        if bytes > to_usize(limit) {
            return Err(too_large());
        }
        Ok(Measure {
            // An audience of 32 names of 255 bytes fits, and the attributes were compared.
            audience: u16::try_from(audience).map_err(|_| too_large())?,
            attributes: u16::try_from(attributes).map_err(|_| too_large())?,
            payload: u32::try_from(event.payload().len()).map_err(|_| too_large())?,
        })
    }

    /// Bytes of the record.
    pub(super) fn record(&self) -> usize {
        let parts = usize::from(self.audience) + usize::from(self.attributes);
        RECORD_HEADER + parts + to_usize(self.payload)
    }
}

fn audience_bytes(event: &NewEvent<'_>) -> Result<usize, AppendError> {
    if event.is_plain() {
        let topic = event.first_topic();
        check_topic(topic)?;
        return Ok(COUNTS + 1 + topic.len());
    }
    let mut bytes = COUNTS;
    let mut topics = 0;
    for topic in event.topics() {
        check_topic(topic)?;
        bytes += 1 + topic.len();
        topics += 1;
    }
    let not_to = event.not_to_all();
    for (what, count, limit) in [
        ("topics", topics, MAX_TOPICS),
        ("identities", not_to.len(), MAX_NOT_TO),
    ] {
        if count > limit {
            return Err(AppendError::Audience { what, count, limit });
        }
    }
    for identity in not_to {
        check_name(identity)?;
        bytes += 1 + identity.len();
    }
    Ok(bytes)
}

fn attribute_bytes(event: &NewEvent<'_>) -> Result<usize, AppendError> {
    if event.is_plain() {
        return Ok(0);
    }
    let texts = event.texts().into_iter().flatten().map(str::len);
    let mut bytes: usize = texts.map(|length| ATTRIBUTE_HEADER + length).sum();
    for (tag, value) in event.attributes() {
        if !USER_TAGS.contains(tag) {
            return Err(AppendError::ReservedTag { tag: *tag });
        }
        bytes += ATTRIBUTE_HEADER + value.len();
    }
    if bytes > MAX_ATTRIBUTES {
        return Err(AppendError::Attributes {
            bytes,
            limit: MAX_ATTRIBUTES,
        });
    }
    Ok(bytes)
}

/// Writes the record of an event that was measured into `record`, all of its bytes.
///
/// # Panics
/// When `record` has not the length that was measured.
#[inline]
pub(super) fn encode(event: &NewEvent<'_>, measure: &Measure, record: &mut [u8]) {
    put(record, PAYLOAD_AT, measure.payload.to_le_bytes());
    put(record, ATTRIBUTES_AT, measure.attributes.to_le_bytes());
    put(record, AUDIENCE_AT, measure.audience.to_le_bytes());
    let (audience, rest) = record[RECORD_HEADER..].split_at_mut(usize::from(measure.audience));
    let (attributes, payload) = rest.split_at_mut(usize::from(measure.attributes));
    payload.copy_from_slice(event.payload());
    if event.is_plain() {
        let topic = event.first_topic();
        let (counts, name) = audience.split_at_mut(COUNTS + 1);
        counts.copy_from_slice(&[1, 0, low_byte(topic.len())]);
        name.copy_from_slice(topic.as_bytes());
    } else {
        encode_audience(event, audience);
        encode_attributes(event, attributes);
    }
}

fn encode_audience(event: &NewEvent<'_>, mut out: &mut [u8]) {
    let topics = event.topics();
    let not_to = event.not_to_all();
    let counts = [low_byte(topics.clone().count()), low_byte(not_to.len())];
    append(&mut out, &counts);
    for name in topics.chain(not_to.iter().copied()) {
        append(&mut out, &[low_byte(name.len())]);
        append(&mut out, name.as_bytes());
    }
}

fn encode_attributes(event: &NewEvent<'_>, mut out: &mut [u8]) {
    let texts = TEXT_TAGS.into_iter().zip(event.texts());
    let texts = texts.filter_map(|(tag, text)| Some((tag, text?.as_bytes())));
    for (tag, value) in texts.chain(event.attributes().iter().copied()) {
        // The sum of all lengths was compared with 65,535 when the event was measured.
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        append(&mut out, &[tag]);
        append(&mut out, &length.to_le_bytes());
        append(&mut out, value);
    }
}

/// Puts `bytes` at the beginning of `out`, and `out` behind them.
///
/// # Panics
/// When they do not fit: the room was measured.
fn append(out: &mut &mut [u8], bytes: &[u8]) {
    let (here, rest) = std::mem::take(out).split_at_mut(bytes.len());
    here.copy_from_slice(bytes);
    *out = rest;
}

/// A count or length that was compared with a bound of at most 255 when the event was measured.
fn low_byte(value: usize) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

/// A record in place. What it says of its own structure was checked when its frame was verified, so
/// it is looked at only where somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordRef<'a> {
    audience: &'a [u8],
    attributes: &'a [u8],
    payload: &'a [u8],
}

impl<'a> RecordRef<'a> {
    /// The record that these bytes begin with, and its length in bytes. All of its structure is
    /// checked here: lengths, counts, that texts are UTF-8 and that no tag stands twice.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<(RecordRef<'a>, usize)> {
        let (record, length) = RecordRef::read(bytes)?;
        check_audience(record.audience)?;
        if !record.attributes.is_empty() {
            check_attributes(record.attributes)?;
        }
        Some((record, length))
    }

    /// The record that these bytes begin with, and its length in bytes. Only its lengths are
    /// checked: for records that were parsed before.
    #[inline]
    pub(crate) fn read(bytes: &'a [u8]) -> Option<(RecordRef<'a>, usize)> {
        let header: &[u8; RECORD_HEADER] = bytes.first_chunk()?;
        let audience = usize::from(u16_at(header, AUDIENCE_AT));
        let attributes = usize::from(u16_at(header, ATTRIBUTES_AT));
        let payload = to_usize(u32_at(header, PAYLOAD_AT));

        let (audience, rest) = bytes[RECORD_HEADER..].split_at_checked(audience)?;
        let (attributes, rest) = rest.split_at_checked(attributes)?;
        let payload = rest.get(..payload)?;
        let length = RECORD_HEADER + audience.len() + attributes.len() + payload.len();
        let record = RecordRef {
            audience,
            attributes,
            payload,
        };
        Some((record, length))
    }

    /// To whom it is and to whom not, as one piece: equal ones are to the same.
    #[inline]
    pub(crate) fn audience(&self) -> &'a [u8] {
        self.audience
    }

    /// The topics it is to, at least one.
    #[inline]
    pub(crate) fn topics(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.topic_bytes().map(text_of)
    }

    /// The topics as bytes: to compare them costs less so.
    #[inline]
    pub(crate) fn topic_bytes(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let (topics, _) = self.counts();
        self.names().take(topics)
    }

    /// The identities it is not to.
    #[inline]
    pub(crate) fn not_to(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.not_to_bytes().map(text_of)
    }

    /// The identities it is not to, as bytes.
    #[inline]
    pub(crate) fn not_to_bytes(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let (topics, not_to) = self.counts();
        // Nearly all events have none: nothing is walked over for them.
        let passed = if not_to == 0 { 0 } else { topics };
        self.names().skip(passed).take(not_to)
    }

    /// Whether it is not to nobody and its first topic is none of the adapters': then `>` matches.
    #[inline]
    pub(crate) fn is_for_everything(&self) -> bool {
        matches!(self.audience, [_, 0, _, first, ..] if *first != b'$')
    }

    /// How many topics, and how many identities it is not to.
    #[inline]
    fn counts(&self) -> (usize, usize) {
        let counts: Option<&[u8; COUNTS]> = self.audience.first_chunk();
        counts.map_or((0, 0), |&[topics, not_to]| (topics.into(), not_to.into()))
    }

    #[inline]
    fn names(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let mut rest = self.audience.get(COUNTS..).unwrap_or_default();
        std::iter::from_fn(move || take_bytes(&mut rest))
    }

    pub(crate) fn name(&self) -> Option<&'a str> {
        self.text(NAME)
    }

    pub(crate) fn id(&self) -> Option<&'a str> {
        self.text(ID)
    }

    pub(crate) fn from(&self) -> Option<&'a str> {
        self.text(FROM)
    }

    /// The bytes under a tag of any kind.
    pub(crate) fn attribute(&self, tag: u8) -> Option<&'a [u8]> {
        self.attributes()
            .find(|(other, _)| *other == tag)
            .map(|(_, value)| value)
    }

    /// All attributes, those of the log and unknown ones too, in the order of the record.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (u8, &'a [u8])> + Clone + use<'a> {
        let mut rest = self.attributes;
        std::iter::from_fn(move || take_attribute(&mut rest))
    }

    #[inline]
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.payload
    }

    fn text(&self, tag: u8) -> Option<&'a str> {
        self.attribute(tag)
            .and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// Names in a record, one after the other. That they are whole and UTF-8 was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Names<'a> {
    rest: &'a [u8],
}

impl Names<'_> {
    /// How many bytes the names take that are still to come.
    pub(super) fn bytes(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        take_name(&mut self.rest)
    }
}

fn check_audience(bytes: &[u8]) -> Option<()> {
    let (&[topics, not_to], mut rest) = bytes.split_first_chunk()?;
    let within = (1..=MAX_TOPICS).contains(&usize::from(topics));
    if !within || usize::from(not_to) > MAX_NOT_TO {
        return None;
    }
    let names = u16::from(topics) + u16::from(not_to);
    if rest.is_ascii() {
        // Which is UTF-8, wherever it is cut into names.
        for _ in 0..names {
            take_bytes(&mut rest)?;
        }
    } else {
        take_names(&mut rest, names)?;
    }
    rest.is_empty().then_some(())
}

/// Whether the records of a frame are what its head says. `frame` is the whole of it without
/// padding. Asked once, when the frame is verified.
pub(crate) fn records_are_whole(frame: &[u8], head: &FrameHead) -> bool {
    let mut records = frame.get(FRAME_HEADER..).unwrap_or_default();
    if !matches!(head.kind, FrameKind::Event | FrameKind::Batch) {
        return true;
    }
    for _ in 0..head.count {
        let Some((_, length)) = RecordRef::parse(records) else {
            return false;
        };
        records = &records[length..];
    }
    records.is_empty()
}

/// A name that was checked.
#[inline]
fn text_of(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}

/// Passes `count` names that begin here.
pub(super) fn take_names<'a>(rest: &mut &'a [u8], count: u16) -> Option<Names<'a>> {
    let all = *rest;
    for _ in 0..count {
        take_name(rest)?;
    }
    Some(Names {
        rest: &all[..all.len() - rest.len()],
    })
}

fn take_name<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take_bytes(rest)?).ok()
}

#[inline]
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&length, after) = rest.split_first()?;
    let (name, after) = after.split_at_checked(usize::from(length))?;
    if name.is_empty() {
        return None;
    }
    *rest = after;
    Some(name)
}

fn check_attributes(mut rest: &[u8]) -> Option<()> {
    let mut seen = [false; 256];
    while !rest.is_empty() {
        let (tag, value) = take_attribute(&mut rest)?;
        if std::mem::replace(&mut seen[usize::from(tag)], true) {
            return None;
        }
        if TEXT_TAGS.contains(&tag) {
            std::str::from_utf8(value).ok()?;
        }
    }
    Some(())
}

fn take_attribute<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (header, after) = rest.split_first_chunk::<ATTRIBUTE_HEADER>()?;
    let (value, after) = after.split_at_checked(usize::from(u16_at(header, 1)))?;
    *rest = after;
    Some((header[0], value))
}
