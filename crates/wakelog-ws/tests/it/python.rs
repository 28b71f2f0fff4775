//! A client in another language, written from PROTOCOL.md alone, is told the one story.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio::task::spawn_blocking;

use crate::scenario::ACTS;
use crate::shims::{SHIMS, hub, serve};

/// A Python that has the package `websockets`: `WAKELOG_PYTHON` names it.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("WAKELOG_PYTHON").unwrap_or_else(|| "python3".into());
    let mut check = Command::new(&python);
    check.args(["-c", "import websockets.sync.client"]);
    let found = check.stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Some(python.into());
    }
    let required = std::env::var_os("WAKELOG_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "no Python with the package websockets");
    println!("SKIPPED: no Python with the package websockets; set WAKELOG_PYTHON");
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_is_told_the_story() {
    is_told_the_story("wakelog.v1.json").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_is_told_the_story_in_binary() {
    is_told_the_story("wakelog.v1.bin").await;
}

async fn is_told_the_story(subprotocol: &str) {
    let Some(python) = python() else {
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/scenario.py");
    for shim in SHIMS {
        let (_dir, hub) = hub();
        let address = serve(hub, shim).await;
        let mut command = Command::new(&python);
        command
            .arg("-B")
            .arg(&script)
            .arg(format!("ws://{address}/wakelog"))
            .arg(subprotocol);
        let output = spawn_blocking(move || command.output().unwrap()).await;
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shim:?}: {text}");
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(told.trim(), ACTS, "{shim:?}");
    }
}
