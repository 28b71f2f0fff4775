//! The browser client is told the one story, in Node and in a page that Chromium opens.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::kit::PATIENCE;
use crate::scenario::{self, ACTS};
use crate::shims::{SHIMS, hub, serve};

/// A program that can be started; without it the test is skipped, loudly, and with
/// `WAKELOG_REQUIRE_ALL=1` it has failed.
fn tool(named: Option<std::ffi::OsString>, names: &[&str]) -> Option<PathBuf> {
    let named = named.map(PathBuf::from);
    let mut names = named.into_iter().chain(names.iter().map(PathBuf::from));
    let starts = |program: &PathBuf| {
        let mut check = Command::new(program);
        let check = check.arg("--version").stdout(Stdio::null());
        check
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let found = names.find(starts);
    let required = std::env::var_os("WAKELOG_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(found.is_some() || !required, "none of {names:?}");
    if found.is_none() {
        println!("SKIPPED: a program is not there");
    }
    found
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_browser_client_is_told_the_story_in_node() {
    let Some(node) = tool(None, &["node"]) else {
        return;
    };
    for shim in SHIMS {
        let (_dir, hub) = hub();
        let address = serve(hub, shim).await;
        let mut command = Command::new(&node);
        // From 22 on, Node has it without being asked.
        command.arg("--experimental-websocket");
        command.arg(folder().join("node.js"));
        command.arg(format!("ws://{address}/wakelog"));
        let output = spawn_blocking(move || command.output().unwrap()).await;
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shim:?}: {text}");
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(told.trim(), ACTS, "{shim:?}: {text}");
    }
}

/// Killed when dropped.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves the page and the story beside the hub; what the page tells comes out of the channel.
async fn page() -> (tempfile::TempDir, String, mpsc::Receiver<String>) {
    let (dir, hub) = hub();
    let (tell, told) = mpsc::channel(1);
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    let (page, story) = (axum::response::Html(read("page.html")), read("story.js"));
    let story = ([("content-type", "text/javascript")], story);
    let scenario = scenario::text();
    let routes = hub
        .axum_router::<()>()
        .route("/", get(|| async { page }))
        .route("/story.js", get(|| async { story }))
        .route("/scenario.json", get(|| async { scenario }))
        .route(
            "/told",
            post(|words: String| async move { tell.send(words).await.unwrap() }),
        );
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (dir, url, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_browser_client_is_told_the_story_in_chromium() {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let Some(chromium) = tool(std::env::var_os("WAKELOG_CHROMIUM"), &names) else {
        return;
    };
    let (_dir, url, mut told) = page().await;
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new(chromium);
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let browser = Browser(command.spawn().unwrap());
    // It starts slowly where much else is going on.
    let words = tokio::time::timeout(3 * PATIENCE, told.recv()).await;
    drop(browser);
    assert_eq!(words.unwrap().as_deref(), Some(ACTS));
}
