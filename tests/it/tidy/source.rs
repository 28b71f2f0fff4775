//! Rules for one file: plain text, short lines, short functions, no `unsafe`, nothing left open.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Where a file should end.
pub(crate) const FILE_LINES_AIM: usize = 300;

/// Where a file must have ended.
pub(crate) const FILE_LINES_MAX: usize = 600;

/// The longest function, from `fn` to its closing brace.
pub(crate) const FUNCTION_LINES_MAX: usize = 70;

/// The longest line, in columns.
pub(crate) const LINE_COLUMNS_MAX: usize = 100;

/// What must not stand in a source, in two halves so that this table does not break its own rule.
const BANNED: [(&str, &str, &str); 9] = [
    ("todo", "!(", "finish it, or leave it out"),
    ("unimplemented", "!(", "finish it, or leave it out"),
    ("dbg", "!(", "a trace for one afternoon"),
    ("FIX", "ME", "fix it"),
    ("TO", "DO", "do it, or open an issue"),
    ("XX", "X", "say what is meant"),
    ("#[ig", "nore", "a test that does not run is no test"),
    (".on", "ly(", "a test that hides the others"),
    (".sk", "ip(\"", "a test that does not run is no test"),
];

/// Lengths, characters and banned words of a source of any language.
pub(crate) fn text_faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        faults.push(format!(
            "{path}: {lines} lines, more than {FILE_LINES_MAX}: two rooms?"
        ));
    }
    if text.contains('\r') {
        faults.push(format!("{path}: line ends of another system"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX {
            faults.push(format!(
                "{path}:{number}: {columns} columns, more than {LINE_COLUMNS_MAX}"
            ));
        }
        if let Some(strange) = line.chars().find(|c| !c.is_ascii() || c.is_ascii_control()) {
            faults.push(format!("{path}:{number}: {strange:?} is not plain ASCII"));
        }
        if line.ends_with(' ') {
            faults.push(format!("{path}:{number}: ends with a blank"));
        }
        for (head, tail, why) in BANNED {
            if line.contains(&[head, tail].concat()) {
                faults.push(format!("{path}:{number}: {head}{tail}: {why}"));
            }
        }
    }
    faults
}

/// Every `unsafe` in Rust code (not in comments, strings or longer words).
pub(crate) fn unsafe_keywords(path: &str, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    find_unsafe(parse(path, text), &mut lines);
    lines
        .iter()
        .map(|line| format!("{path}:{line}: `unsafe` outside of its room"))
        .collect()
}

fn find_unsafe(tokens: TokenStream, lines: &mut Vec<usize>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) if word == "unsafe" => lines.push(word.span().start().line),
            TokenTree::Group(group) => find_unsafe(group.stream(), lines),
            _ => {}
        }
    }
}

/// Every function that is too long.
pub(crate) fn long_functions(path: &str, text: &str) -> Vec<String> {
    let mut functions = Vec::new();
    measure(parse(path, text), &mut functions);
    let long = functions
        .into_iter()
        .filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX);
    long.map(|(name, line, lines)| {
        format!("{path}:{line}: `{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}")
    })
    .collect()
}

/// Name, first line and number of lines of each function that has a body.
fn measure(tokens: TokenStream, functions: &mut Vec<(String, usize, usize)>) {
    let mut open: Option<(String, usize)> = None;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "fn" => {
                // A function pointer type has no name.
                if let Some(TokenTree::Ident(name)) = tokens.peek() {
                    open = Some((name.to_string(), word.span().start().line));
                }
            }
            TokenTree::Punct(mark) if mark.as_char() == ';' => open = None,
            TokenTree::Group(group) => {
                let is_body = group.delimiter() == Delimiter::Brace;
                if let Some((name, first)) = is_body.then(|| open.take()).flatten() {
                    let last = group.span_close().end().line;
                    functions.push((name, first, last - first + 1));
                }
                measure(group.stream(), functions);
            }
            _ => {}
        }
    }
}

fn parse(path: &str, text: &str) -> TokenStream {
    text.parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}
