//! What a user appends.

use std::fmt;
use std::ops::RangeInclusive;

/// The highest number of topics that one event is to.
pub(crate) const MAX_TOPICS: usize = 16;
/// The highest number of identities that one event is not to.
pub(crate) const MAX_NOT_TO: usize = 16;
/// The attribute tags that belong to the user.
pub(crate) const USER_TAGS: RangeInclusive<u8> = 128..=255;

/// An event on its way into the log. It borrows everything, and nothing is checked before it is
/// appended.
///
/// ```
/// use wakelog::NewEvent;
///
/// let event = NewEvent::new("room.42", b"hello")
///     .also_to("room.43")
///     .not_to("user.7")
///     .name("message")
///     .from("alice");
/// ```
#[derive(Clone)]
#[must_use = "an event does nothing before it is appended"]
pub struct NewEvent<'a> {
    topic: &'a str,
    payload: &'a [u8],
    /// Boxed and absent for the plain event, which so costs no allocation and stays small.
    extras: Option<Box<Extras<'a>>>,
}

#[derive(Clone, Default)]
struct Extras<'a> {
    also_to: Vec<&'a str>,
    not_to: Vec<&'a str>,
    name: Option<&'a str>,
    id: Option<&'a str>,
    from: Option<&'a str>,
    attributes: Vec<(u8, &'a [u8])>,
}

impl<'a> NewEvent<'a> {
    /// An event to one topic, with these bytes, which may be none.
    pub fn new(topic: &'a str, payload: &'a (impl AsRef<[u8]> + ?Sized)) -> NewEvent<'a> {
        NewEvent {
            topic,
            payload: payload.as_ref(),
            extras: None,
        }
    }

    /// Makes the event go to one more topic; 16 in all.
    pub fn also_to(mut self, topic: &'a str) -> NewEvent<'a> {
        self.extras().also_to.push(topic);
        self
    }

    /// Excludes consumers with this identity, whatever their filters match; up to 16.
    pub fn not_to(mut self, identity: &'a str) -> NewEvent<'a> {
        self.extras().not_to.push(identity);
        self
    }

    /// Names the kind of the event, as listeners tell events apart.
    pub fn name(mut self, name: &'a str) -> NewEvent<'a> {
        self.extras().name = Some(name);
        self
    }

    /// Gives the event an id of the user's own, which stays the same when the event is sent again:
    /// it is appended once, as long as the log remembers the id together with
    /// [`from`](NewEvent::from). See [`Options::dedup_ids`](crate::Options::dedup_ids). An empty
    /// id is none.
    pub fn id(mut self, id: &'a str) -> NewEvent<'a> {
        self.extras().id = Some(id);
        self
    }

    /// Says who the event comes from.
    pub fn from(mut self, from: &'a str) -> NewEvent<'a> {
        self.extras().from = Some(from);
        self
    }

    /// Adds an attribute of the user's own, with a tag of 128 to 255. A tag that was given
    /// before gets the new bytes.
    pub fn attribute(mut self, tag: u8, bytes: &'a [u8]) -> NewEvent<'a> {
        let attributes = &mut self.extras().attributes;
        match attributes.iter_mut().find(|(other, _)| *other == tag) {
            Some((_, old)) => *old = bytes,
            None => attributes.push((tag, bytes)),
        }
        self
    }

    fn extras(&mut self) -> &mut Extras<'a> {
        self.extras.get_or_insert_default()
    }
}

/// What the encoder reads.
impl<'a> NewEvent<'a> {
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Whether the event has a topic and a payload and nothing else: the encoder's fast path.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.extras.is_none()
    }

    /// The topic given first; the only one of a plain event.
    #[inline]
    pub(crate) fn first_topic(&self) -> &'a str {
        self.topic
    }

    /// All topics, in the order given.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &'a str> + Clone + '_ {
        let more = self
            .extras
            .as_ref()
            .map_or(&[][..], |extras| &extras.also_to);
        std::iter::once(self.topic).chain(more.iter().copied())
    }

    pub(crate) fn not_to_all(&self) -> &[&'a str] {
        self.extras.as_ref().map_or(&[], |extras| &extras.not_to)
    }

    /// Name, id and from, as far as they were given.
    pub(crate) fn texts(&self) -> [Option<&'a str>; 3] {
        self.extras
            .as_ref()
            .map_or([None; 3], |extras| [extras.name, extras.id, extras.from])
    }

    /// The attributes of the user's own. Each tag stands here at most once.
    pub(crate) fn attributes(&self) -> &[(u8, &'a [u8])] {
        self.extras
            .as_ref()
            .map_or(&[], |extras| &extras.attributes)
    }
}

impl fmt::Debug for NewEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.topics().collect();
        let [name, id, from] = self.texts();
        let tags: Vec<_> = self.attributes().iter().map(|(tag, _)| tag).collect();
        f.debug_struct("NewEvent")
            .field("topics", &topics)
            .field("not_to", &self.not_to_all())
            .field("name", &name)
            .field("id", &id)
            .field("from", &from)
            .field("attribute_tags", &tags)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_keeps_what_it_is_told() {
        let text = String::from("text");
        assert_eq!(NewEvent::new("a", &text).payload(), b"text");
        assert_eq!(NewEvent::new("a", &vec![1u8, 2]).payload(), [1, 2]);
        let event = NewEvent::new("a", b"x")
            .also_to("b")
            .not_to("c")
            .name("n")
            .id("i")
            .from("f");
        let event = event
            .attribute(200, b"1")
            .attribute(201, b"2")
            .attribute(200, b"3");
        assert_eq!(event.topics().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(event.not_to_all(), ["c"]);
        assert_eq!(event.texts(), [Some("n"), Some("i"), Some("f")]);
        assert_eq!(event.attributes(), [(200, &b"3"[..]), (201, b"2")]);
        assert!(!event.is_plain());
        assert!(NewEvent::new("a", "").is_plain());
    }

    #[test]
    fn debug_shows_no_payload() {
        let shown = format!(
            "{:?}",
            NewEvent::new("a", "secret").attribute(200, b"hidden")
        );
        assert!(
            shown.contains("payload_bytes: 6") && shown.contains("[200]"),
            "{shown}"
        );
        assert!(
            !shown.contains("secret") && !shown.contains("hidden"),
            "{shown}"
        );
    }
}
