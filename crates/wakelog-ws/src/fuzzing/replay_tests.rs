//! The inputs that are kept, given to the targets.

use super::TARGETS;
use std::fs;
use std::path::Path;

/// Each target runs with each of its inputs, cut short in two places as well.
#[test]
fn every_kept_input_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut runs = 0;
    for (name, target) in TARGETS {
        let before = runs;
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            let file = path.file_name().unwrap().to_owned();
            for part in [input.len(), input.len() / 2, input.len().saturating_sub(1)] {
                let told = std::panic::catch_unwind(|| target(&input[..part]));
                assert!(told.is_ok(), "{name}: {part} bytes of {file:?}");
                runs += 1;
            }
        }
        assert!(runs > before + 20, "no inputs for {name}");
    }
    println!("{runs} inputs");
}
