//! Each rule, broken on purpose: a checker that finds nothing here would find nothing anywhere.

use super::floors::House;
use super::source::{FUNCTION_LINES_MAX, long_functions, text_faults, unsafe_keywords};

const HOUSE: House = House {
    name: "house",
    src: "src",
    floors: &[&["cellar", "tank"], &["hall", "shop"], &["roof"]],
    same_floor: &[("cellar", "tank")],
};

fn count(path: &str, text: &str) -> usize {
    HOUSE.faults(path, text).len()
}

#[test]
fn going_down_is_fine() {
    assert_eq!(
        count(
            "src/hall.rs",
            "use crate::cellar::Coal; use crate::{tank, cellar::X};"
        ),
        0
    );
    assert_eq!(
        count(
            "src/hall/door.rs",
            "use super::Hall; use super::super::tank::T;"
        ),
        0
    );
    assert_eq!(
        count(
            "src/hall/mod.rs",
            "use crate::hall::Door; pub(crate) fn f() {}"
        ),
        0
    );
    assert_eq!(count("src/cellar.rs", "use crate::tank::Water;"), 0);
    assert_eq!(
        count("src/lib.rs", "mod hall; pub use crate::roof::Tile;"),
        0
    );
}

#[test]
fn going_up_or_sideways_is_found_in_every_spelling() {
    assert_eq!(count("src/hall.rs", "use crate::roof::Tile;"), 1);
    assert_eq!(count("src/hall.rs", "use crate::shop::Bread;"), 1);
    assert_eq!(count("src/tank.rs", "use crate::cellar::Coal;"), 1);
    assert_eq!(
        count("src/hall.rs", "use crate::{cellar, roof::{A, B}, shop};"),
        2
    );
    assert_eq!(count("src/hall.rs", "use super::roof::Tile;"), 1);
    assert_eq!(
        count("src/hall/door.rs", "use super::super::roof::Tile;"),
        1
    );
    assert_eq!(
        count("src/hall/a/b.rs", "use super::super::super::roof::Tile;"),
        1
    );
    assert_eq!(
        count("src/hall.rs", "mod a { use super::super::roof::Tile; }"),
        1
    );
    assert_eq!(
        count(
            "src/hall.rs",
            "fn f() -> crate::roof::Tile { g!(crate::shop::x) }"
        ),
        2
    );
    assert_eq!(count("src/hall.rs", "pub(in crate::roof) struct S;"), 1);
}

#[test]
fn names_without_a_room_are_found() {
    assert_eq!(count("src/garage.rs", ""), 1);
    assert_eq!(count("src/hall.rs", "use crate::Tile;"), 1);
    assert_eq!(count("src/hall.rs", "use crate::*;"), 1);
}

#[test]
fn tests_may_look_at_any_floor() {
    assert_eq!(count("src/hall/tests.rs", "use crate::roof::Tile;"), 0);
    assert_eq!(count("src/testing/mod.rs", "use crate::roof::Tile;"), 0);
    assert_eq!(count("src/hall.rs", "use crate::testing::Oracle;"), 1);
    assert_eq!(
        count(
            "src/hall.rs",
            "#[cfg(test)] mod tests { use crate::roof::Tile; }"
        ),
        0
    );
    assert_eq!(
        count(
            "src/hall.rs",
            "#[cfg(test)] mod tests; use crate::roof::Tile;"
        ),
        1
    );
    assert_eq!(
        count(
            "src/hall.rs",
            "#[cfg(unix)] mod tests { use crate::roof::Tile; }"
        ),
        1
    );
}

#[test]
fn a_floor_that_the_picture_leaves_out_is_found() {
    let whole = " 2  roof\n 1  hall  shop   the rooms of the day\n0 | cellar | tank |\n";
    assert!(HOUSE.missing_from(whole).is_empty());
    assert_eq!(
        HOUSE.missing_from(&whole.replace("shop", "workshop")).len(),
        1
    );
    assert_eq!(HOUSE.missing_from(&whole.replace('2', "3")).len(), 1);
    assert_eq!(HOUSE.missing_from("").len(), 3);
}

#[test]
fn unsafe_is_found_as_a_keyword_only() {
    assert_eq!(
        unsafe_keywords("a.rs", "fn f() { let x = unsafe { g() }; }").len(),
        1
    );
    assert_eq!(
        unsafe_keywords("a.rs", "unsafe impl Send for S {} unsafe fn f() {}").len(),
        2
    );
    let harmless = "#![deny(unsafe_code)] // unsafe\n/// unsafe\nfn f() -> &str { \"unsafe\" }";
    assert!(unsafe_keywords("a.rs", harmless).is_empty());
}

#[test]
fn long_functions_are_found() {
    let lines = |count: usize| format!("impl S {{ fn f() {{\n{}}} }}", "g();\n".repeat(count));
    assert!(long_functions("a.rs", &lines(FUNCTION_LINES_MAX - 2)).is_empty());
    assert_eq!(
        long_functions("a.rs", &lines(FUNCTION_LINES_MAX - 1)).len(),
        1
    );
    let declared = format!(
        "trait T {{ fn f(); {} const C: u8 = {{ 1 }}; }}",
        "\n".repeat(90)
    );
    assert!(long_functions("a.rs", &declared).is_empty());
    let pointer = format!("const C: fn(u8) = {{ {} g }};", "\n".repeat(90));
    assert!(long_functions("a.rs", &pointer).is_empty());
}

#[test]
fn text_that_is_not_plain_is_found() {
    let faults = |text: &str| text_faults("a.rs", text).len();
    assert_eq!(faults("let a = 1; // fine\n"), 0);
    assert_eq!(faults(&"x".repeat(100)), 0);
    assert_eq!(faults(&"x".repeat(101)), 1);
    assert_eq!(faults("// caf\u{e9}"), 1);
    assert_eq!(faults("\tindented"), 1);
    assert_eq!(faults("windows\r\n"), 1);
    assert_eq!(faults("trailing "), 1);
    assert_eq!(faults(&"\n".repeat(601)), 1);
    for banned in [
        ["todo", "!()"],
        ["// FIX", "ME"],
        ["dbg", "!(x)"],
        ["#[ig", "nore]"],
    ] {
        assert_eq!(faults(&banned.concat()), 1);
    }
}
