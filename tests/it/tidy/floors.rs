//! Imports between the rooms of a crate, found token by token: `crate::room`, `crate::{room, ..}`
//! and as many `super` as lead to the crate root. Code under `#[cfg(test)]` may look at any floor.

use std::iter::Peekable;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A crate and the floors of its rooms.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) name: &'static str,
    /// The folder of its `lib.rs` or `main.rs`, from the root of the repository.
    pub(crate) src: &'static str,
    /// The rooms of each floor, the ground floor first.
    pub(crate) floors: &'static [&'static [&'static str]],
    /// The exceptions: the first room may import the second although they share a floor.
    pub(crate) same_floor: &'static [(&'static str, &'static str)],
}

/// One mention of a module of the crate root.
#[derive(Debug, PartialEq, Eq)]
struct Mention {
    room: String,
    line: usize,
}

impl House {
    /// True if the file belongs to this crate.
    pub(crate) fn owns(&self, path: &str) -> bool {
        path.strip_prefix(self.src)
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// What is wrong with the imports of one file of this crate.
    pub(crate) fn faults(&self, path: &str, text: &str) -> Vec<String> {
        let inside = &path[self.src.len() + 1..];
        let stem = inside.strip_suffix(".rs").unwrap_or(inside);
        let modules: Vec<&str> = stem.split('/').filter(|name| *name != "mod").collect();
        let room = modules[0];
        if ["lib", "main"].contains(&room) || is_test_file(&modules) {
            return Vec::new();
        }
        let Some(floor) = self.floor(room) else {
            let name = self.name;
            return vec![format!(
                "{path}: {name} has no floor for the room `{room}` in its table"
            )];
        };
        let tokens: TokenStream = text
            .parse()
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut mentions = Vec::new();
        collect(tokens, modules.len(), &mut mentions);
        let elsewhere = mentions.into_iter().filter(|mention| mention.room != room);
        elsewhere
            .filter_map(|mention| self.fault(path, room, floor, &mention))
            .collect()
    }

    fn fault(&self, path: &str, room: &str, floor: usize, to: &Mention) -> Option<String> {
        let Mention { room: other, line } = to;
        let Some(other_floor) = self.floor(other) else {
            return Some(format!(
                "{path}:{line}: `{other}` is no room: name the room it stands in"
            ));
        };
        let allowed = other_floor < floor
            || other_floor == floor && self.same_floor.contains(&(room, other.as_str()));
        let text = format!(
            "{path}:{line}: `{room}` (floor {floor}) may not use `{other}` (floor {other_floor})"
        );
        (!allowed).then_some(text)
    }

    fn floor(&self, room: &str) -> Option<usize> {
        self.floors.iter().position(|rooms| rooms.contains(&room))
    }

    /// The floors that `picture` does not show: each stands on a line that begins with its number
    /// and names all of its rooms.
    pub(crate) fn missing_from(&self, picture: &str) -> Vec<String> {
        let shows = |line: &str, number: usize, rooms: &[&str]| {
            let mut words = line
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .filter(|w| !w.is_empty());
            let first = words.next() == Some(number.to_string().as_str());
            let named: Vec<&str> = words.collect();
            first && rooms.iter().all(|room| named.contains(room))
        };
        let floors = self.floors.iter().enumerate();
        let missing = floors
            .filter(|(number, rooms)| !picture.lines().any(|line| shows(line, *number, rooms)));
        missing
            .map(|(number, rooms)| {
                format!(
                    "ARCHITECTURE.md has no line for floor {number}: {}",
                    rooms.join("  ")
                )
            })
            .collect()
    }
}

/// Test files stand beside the code that they test (`tests.rs`, `crash_tests.rs`, `tests/x.rs`) or
/// in the rooms `testing` and `fuzzing`, which library code cannot name: they have no floor.
fn is_test_file(modules: &[&str]) -> bool {
    modules
        .iter()
        .any(|name| ["tests", "testing", "fuzzing"].contains(name) || name.ends_with("_tests"))
}

/// Adds every mention of a room in `tokens`, which stand `depth` modules below the crate root.
fn collect(tokens: TokenStream, depth: usize, mentions: &mut Vec<Mention>) {
    let mut tokens = tokens.into_iter().peekable();
    let mut for_tests = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                for_tests |= matches!(tokens.peek(), Some(TokenTree::Group(g)) if is_cfg_test(g));
            }
            TokenTree::Ident(word) if word == "mod" => {
                let inner = tokens.nth(1);
                if let Some(TokenTree::Group(body)) = inner.filter(|_| !for_tests) {
                    collect(body.stream(), depth + 1, mentions);
                }
                for_tests = false;
            }
            TokenTree::Ident(word) if word == "fn" || word == "use" => for_tests = false,
            TokenTree::Ident(word) if word == "crate" => path_tail(&mut tokens, mentions),
            TokenTree::Ident(word) if word == "super" && supers(&mut tokens) == depth => {
                path_tail(&mut tokens, mentions);
            }
            TokenTree::Group(group) => collect(group.stream(), depth, mentions),
            _ => {}
        }
    }
}

/// How many `super` stand in a row, the one just read among them.
fn supers(tokens: &mut Peekable<impl Iterator<Item = TokenTree> + Clone>) -> usize {
    let mut count = 1;
    loop {
        let mut ahead = tokens.clone();
        let again = colons(&mut ahead)
            && matches!(ahead.next(), Some(TokenTree::Ident(word)) if word == "super");
        if !again {
            return count;
        }
        *tokens = ahead;
        count += 1;
    }
}

/// Reads `::room` or `::{room, room::x}` after the crate root was named.
fn path_tail(
    tokens: &mut Peekable<impl Iterator<Item = TokenTree> + Clone>,
    mentions: &mut Vec<Mention>,
) {
    let mut ahead = tokens.clone();
    if !colons(&mut ahead) {
        return;
    }
    *tokens = ahead;
    match tokens.next() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let mut at_start = true;
            for token in group.stream() {
                if at_start {
                    mention(&token, mentions);
                }
                at_start = matches!(&token, TokenTree::Punct(mark) if mark.as_char() == ',');
            }
        }
        Some(token) => mention(&token, mentions),
        None => {}
    }
}

fn mention(token: &TokenTree, mentions: &mut Vec<Mention>) {
    let line = token.span().start().line;
    let room = token.to_string();
    if room != "self" {
        mentions.push(Mention { room, line });
    }
}

/// Takes `::` if it comes next.
fn colons(tokens: &mut impl Iterator<Item = TokenTree>) -> bool {
    let mut colon =
        || matches!(tokens.next(), Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    colon() && colon()
}

fn is_cfg_test(attribute: &Group) -> bool {
    attribute.stream().to_string().replace(' ', "") == "cfg(test)"
}
