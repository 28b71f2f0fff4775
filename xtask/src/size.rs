//! How much of wakelog-ws there is, and how much a browser loads of it.
//!
//! Counted are the lines of its `src/` with code on them: not the empty ones, nor those that are
//! comments. Left out are tests, what the fuzzers call, and the shims and the client
//! (`src/serve/shims/`, `src/client/`), of which a program takes those that it needs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::stage::Count;

const SOURCE: &str = "crates/wakelog-ws/src";
const CLIENT: &str = "crates/wakelog-ws/client/wakelog.js";
const LINES_MAX: usize = 4_000;
const CLIENT_BYTES_MAX: usize = 5_000;

/// Prints both figures, and fails above the bounds.
pub(crate) fn check() -> Result<Count, String> {
    let lines = lines_below(Path::new(SOURCE))?;
    println!("    wakelog-ws without shims, tests and clients: {lines} lines, bound {LINES_MAX}");
    let zipped = Command::new("gzip")
        .args(["-9", "-n", "-c", CLIENT])
        .output();
    let zipped = zipped.map_err(|error| format!("gzip does not start: {error}"))?;
    let bytes = zipped.stdout.len();
    println!("    wakelog.js, gzipped: {bytes} bytes, bound {CLIENT_BYTES_MAX}");
    if lines > LINES_MAX || bytes > CLIENT_BYTES_MAX || !zipped.status.success() {
        return Err(format!("{lines} lines, {bytes} bytes: above the bound"));
    }
    Ok(Count::default())
}

fn lines_below(directory: &Path) -> Result<usize, String> {
    let broken = |error| format!("{}: {error}", directory.display());
    let mut lines = 0;
    for entry in fs::read_dir(directory).map_err(broken)? {
        let path = entry.map_err(broken)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !["shims", "fuzzing", "tests", "client"].contains(&&*name) {
                lines += lines_below(&path)?;
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            lines += lines_of(&fs::read_to_string(&path).map_err(broken)?);
        }
    }
    Ok(lines)
}

/// Tests stand at the end of a file.
fn lines_of(text: &str) -> usize {
    let code = text.split("#[cfg(test)]\nmod tests {").next();
    let lines = code.unwrap_or_default().lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_empty_lines_and_tests_do_not_count() {
        let text = "//! About.\n\nuse x;\n/// What.\nfn f() {\n    // Why.\n    g(); // so\n}\n";
        assert_eq!(lines_of(text), 4);
        let tested = format!("{text}\n#[cfg(test)]\nmod tests {{\n    fn t() {{}}\n}}\n");
        assert_eq!(lines_of(&tested), 4);
    }
}
