//! What one consumer wants: several filters, and the identities that exclude it.

use std::sync::Arc;

use super::filter::{Filter, FilterError};
use super::topic::check_name;

/// The highest number of filters in one set.
pub const MAX_FILTERS: usize = 1_024;

/// The highest number of identities that a consumer may give.
pub const MAX_IDENTITIES: usize = 64;

/// The filters of one consumer together with its identities. A clone shares them.
///
/// An event is for the consumer if any of its topics matches any filter, unless one of the
/// identities is among those it is *not to*. Without given identities, they are the literal
/// topics of the filters. An empty set matches no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterSet {
    parts: Arc<Parts>,
}

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    /// Sorted, each once, so that equal sets are equal in whatever order they were given.
    literals: Vec<Filter>,
    /// The filters with wildcards, sorted, each once.
    patterns: Vec<Filter>,
    /// Whether `>` is one of the patterns.
    everything: bool,
    /// Sorted, each once. `None`: the literals are the identities.
    identities: Option<Vec<Box<str>>>,
}

impl FilterSet {
    /// The set of these filters; `None` for the identities that follow from the filters.
    ///
    /// # Errors
    /// The first filter that does not parse, the first identity that is not a name, or more than
    /// [`MAX_FILTERS`] filters or [`MAX_IDENTITIES`] identities.
    pub fn new<F, S>(filters: F, identities: Option<&[String]>) -> Result<FilterSet, FilterError>
    where
        F: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let (mut literals, mut patterns) = (Vec::new(), Vec::new());
        for (count, text) in filters.into_iter().enumerate() {
            if count == MAX_FILTERS {
                return Err(FilterError::TooManyFilters { limit: MAX_FILTERS });
            }
            let filter = Filter::parse(text.as_ref())?;
            if filter.is_literal() {
                literals.push(filter)
            } else {
                patterns.push(filter)
            }
        }
        for filters in [&mut literals, &mut patterns] {
            filters.sort_unstable();
            filters.dedup();
        }
        let identities = identities.map(sorted_identities).transpose()?;
        let everything = patterns.iter().any(Filter::is_everything);
        Ok(FilterSet {
            parts: Arc::new(Parts {
                literals,
                patterns,
                everything,
                identities,
            }),
        })
    }

    /// The filters, each once: first those without a wildcard, then the others, each group in
    /// the order of their bytes.
    pub fn filters(&self) -> impl Iterator<Item = &Filter> + Clone {
        self.parts.literals.iter().chain(&self.parts.patterns)
    }

    /// The filters without a wildcard, sorted.
    pub(crate) fn literals(&self) -> &[Filter] {
        &self.parts.literals
    }

    /// The filters with wildcards, sorted.
    pub(crate) fn patterns(&self) -> &[Filter] {
        &self.parts.patterns
    }

    /// The identities that were given, in the order of their bytes; `None` if they follow from
    /// the filters.
    pub fn given_identities(&self) -> Option<impl ExactSizeIterator<Item = &str> + Clone> {
        self.parts
            .identities
            .as_ref()
            .map(|given| given.iter().map(AsRef::as_ref))
    }

    /// Whether the set has no filter and so matches nothing.
    pub fn is_empty(&self) -> bool {
        self.parts.literals.is_empty() && self.parts.patterns.is_empty()
    }

    /// Whether it matches whatever is no topic of the adapters.
    #[inline]
    pub(crate) fn has_everything(&self) -> bool {
        self.parts.everything
    }

    /// Whether no event is kept from the consumer by whom it is *not to*.
    pub(crate) fn has_no_identity(&self) -> bool {
        match &self.parts.identities {
            None => self.parts.literals.is_empty(),
            Some(identities) => identities.is_empty(),
        }
    }

    /// Whether an event with this audience is for the consumer.
    pub fn matches<'t, 'n>(
        &self,
        to: impl Iterator<Item = &'t str> + Clone,
        not_to: impl Iterator<Item = &'n str>,
    ) -> bool {
        self.matches_bytes(to.map(str::as_bytes), not_to.map(str::as_bytes))
    }

    /// As [`FilterSet::matches`], with the names as bytes.
    #[inline]
    pub(crate) fn matches_bytes<'t, 'n>(
        &self,
        to: impl Iterator<Item = &'t [u8]> + Clone,
        not_to: impl Iterator<Item = &'n [u8]>,
    ) -> bool {
        self.wants(to) && !self.is_excluded(not_to)
    }

    /// Whether any filter matches the topic.
    pub(crate) fn wants_topic(&self, topic: &str) -> bool {
        self.wants(std::iter::once(topic.as_bytes()))
    }

    #[inline]
    fn wants<'t>(&self, to: impl Iterator<Item = &'t [u8]> + Clone) -> bool {
        let mut all = to.clone();
        self.parts.everything && all.any(|topic| !topic.starts_with(b"$")) || self.wants_one(to)
    }

    fn wants_one<'t>(&self, mut to: impl Iterator<Item = &'t [u8]> + Clone) -> bool {
        let Parts {
            literals, patterns, ..
        } = &*self.parts;
        let literal = |topic: &[u8]| holds(literals, |filter| filter.as_str().as_bytes(), topic);
        if !literals.is_empty() && to.clone().any(literal) {
            return true;
        }
        let pattern = |topic: &[u8]| patterns.iter().any(|filter| filter.matches_bytes(topic));
        !patterns.is_empty() && to.any(pattern)
    }

    /// Whether an event not to these names is not for the consumer, whatever its topics are.
    #[inline]
    pub(crate) fn is_excluded<'n>(&self, mut not_to: impl Iterator<Item = &'n [u8]>) -> bool {
        not_to.any(|name| self.has_identity(name))
    }

    fn has_identity(&self, name: &[u8]) -> bool {
        match &self.parts.identities {
            None => holds(&self.parts.literals, |f| f.as_str().as_bytes(), name),
            Some(identities) => holds(identities, |name| name.as_bytes(), name),
        }
    }
}

fn sorted_identities(names: &[String]) -> Result<Vec<Box<str>>, FilterError> {
    if names.len() > MAX_IDENTITIES {
        return Err(FilterError::TooManyIdentities {
            limit: MAX_IDENTITIES,
        });
    }
    let mut identities: Vec<Box<str>> = Vec::with_capacity(names.len());
    for name in names {
        check_name(name).map_err(FilterError::Identity)?;
        identities.push(name.as_str().into());
    }
    identities.sort_unstable();
    identities.dedup();
    Ok(identities)
}

/// Whether the sorted items hold the name. Most sets have one or two items, where walking them
/// beats a search; the length is compared before the bytes.
fn holds<T>(sorted: &[T], bytes: impl Fn(&T) -> &[u8], name: &[u8]) -> bool {
    if sorted.len() <= 4 {
        return sorted.iter().any(|item| bytes(item) == name);
    }
    sorted
        .binary_search_by(|item| bytes(item).cmp(name))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(filters: &[&str], identities: Option<&[&str]>) -> FilterSet {
        let owned: Option<Vec<String>> =
            identities.map(|names| names.iter().map(|name| String::from(*name)).collect());
        FilterSet::new(filters, owned.as_deref()).unwrap()
    }

    fn matches(set: &FilterSet, to: &[&str], not_to: &[&str]) -> bool {
        set.matches(to.iter().copied(), not_to.iter().copied())
    }

    #[test]
    fn any_topic_on_any_filter() {
        let set = set(&["room.>", "user.7"], None);
        assert!(matches(&set, &["room.42"], &[]));
        assert!(matches(&set, &["other", "user.7"], &[]));
        assert!(!matches(&set, &["other"], &[]));
    }

    #[test]
    fn the_literal_filters_are_the_identities_unless_some_are_given() {
        let by_filter = set(&["room.>", "user.7"], None);
        assert!(!matches(&by_filter, &["room.42"], &["user.7"]));
        assert!(!matches(&by_filter, &["user.7", "room.42"], &["user.7"]));
        assert!(matches(&by_filter, &["room.42"], &["user.8"]));
        assert!(
            matches(&by_filter, &["room.42"], &["room.42"]),
            "a wildcard never excludes"
        );

        let given = set(&["room.>", "user.7"], Some(&["alice"]));
        assert!(matches(&given, &["room.42"], &["user.7"]));
        assert!(!matches(&given, &["room.42"], &["bob", "alice"]));
        assert!(matches(
            &set(&["user.7"], Some(&[])),
            &["user.7"],
            &["user.7"]
        ));
    }

    #[test]
    fn an_empty_set_matches_nothing() {
        let none = set(&[], None);
        assert!(none.is_empty());
        assert!(!matches(&none, &["a"], &[]));
        assert!(!matches(&set(&[], Some(&["a"])), &["a"], &[]));
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        let one = set(&["b", "a", "c.*", "a"], Some(&["y", "x", "y"]));
        let other = set(&["c.*", "a", "b"], Some(&["x", "y"]));
        assert_eq!(one, other);
        assert_eq!(
            one.filters().map(Filter::as_str).collect::<Vec<_>>(),
            ["a", "b", "c.*"]
        );
        assert_eq!(
            one.given_identities().unwrap().collect::<Vec<_>>(),
            ["x", "y"]
        );
        assert_ne!(one, set(&["a", "b", "c.*"], None));
        assert!(set(&["a"], None).given_identities().is_none());
    }

    #[test]
    fn the_bounds_hold() {
        let filters: Vec<String> = (0..=MAX_FILTERS).map(|n| format!("t{n}")).collect();
        assert!(FilterSet::new(&filters[..MAX_FILTERS], None).is_ok());
        let error = FilterError::TooManyFilters { limit: MAX_FILTERS };
        assert_eq!(FilterSet::new(&filters, None).unwrap_err(), error);
        assert!(FilterSet::new(["a"], Some(&filters[..MAX_IDENTITIES])).is_ok());
        let error = FilterError::TooManyIdentities {
            limit: MAX_IDENTITIES,
        };
        assert_eq!(
            FilterSet::new(["a"], Some(&filters[..=MAX_IDENTITIES])).unwrap_err(),
            error
        );
        let error = FilterSet::new(["a"], Some(&[String::new()])).unwrap_err();
        assert!(matches!(error, FilterError::Identity(_)));
    }

    proptest! {
        #[test]
        fn sets_agree_with_their_filters_one_by_one(
            filters in proptest::collection::vec("[a-c](\\.([a-c]|\\*|>)){0,1}", 0..12),
            identities in proptest::option::of(proptest::collection::vec("[a-d]", 0..7)),
            to in proptest::collection::vec("[a-c](\\.[a-c]){0,1}", 1..4),
            not_to in proptest::collection::vec("[a-d]", 0..3),
        ) {
            let set = FilterSet::new(&filters, identities.as_deref()).unwrap();
            let parsed: Vec<_> = filters.iter().map(|f| Filter::parse(f).unwrap()).collect();
            let wanted = to.iter().any(|topic| parsed.iter().any(|f| f.matches(topic)));
            let names = identities.unwrap_or_else(|| {
                let literals = parsed.iter().filter(|f| f.is_literal());
                literals.map(|f| String::from(f.as_str())).collect()
            });
            let excluded = not_to.iter().any(|name| names.contains(name));
            let to = to.iter().map(String::as_str);
            let not_to = not_to.iter().map(String::as_str);
            prop_assert_eq!(set.matches(to, not_to), wanted && !excluded);
        }
    }
}
