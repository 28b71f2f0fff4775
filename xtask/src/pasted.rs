//! Do the first programs of wakelog-ws's README work where somebody pastes them? Each goes into a
//! new project, with the dependencies that stand above it; it is built against this tree and
//! started, and the README's page speaks to it, in Node.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::stage::{Count, plain};
use crate::tasks::cargo;

const README: &str = "crates/wakelog-ws/README.md";
const CLIENT: &str = "crates/wakelog-ws/client/wakelog.js";
const HOME: &str = "target/pasted";

/// Longer than anything that works takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The address that stands in the README.
const ADDRESS: &str = "127.0.0.1:8080";

/// One after the other, as they stand in the README; whether it serves the browser client, too.
const PROGRAMS: [(&str, bool); 2] = [("pasted-axum", true), ("pasted-actix", false)];

pub(crate) fn check() -> Result<Count, String> {
    let text = read(Path::new(README))?;
    let page = blocks(&text, "html").next().ok_or("no page")?;
    let programs = blocks(&text, "toml").zip(blocks(&text, "rust,no_run"));
    let mut count = Count::default();
    for ((name, serves_client), (dependencies, program)) in PROGRAMS.into_iter().zip(programs) {
        let address = free_address()?;
        let here = Path::new(HOME).join(name);
        paste(
            &here,
            name,
            dependencies,
            &program.replace(ADDRESS, &address),
        )?;
        let mut build = cargo("build --quiet --target-dir target/pasted/target --manifest-path");
        plain(build.arg(here.join("Cargo.toml")))?;
        let mut run = Command::new(absolute(HOME)?.join("target/debug").join(name));
        let _server = Running::start(run.current_dir(&here))?;
        wait_for(&address)?;
        let client = match serves_client {
            true => get(&address, "/wakelog.js")?,
            false => read(Path::new(CLIENT))?,
        };
        write(&here.join("wakelog.js"), &client)?;
        visit(&here, &page.replace(ADDRESS, &address))?;
        println!("    {name}: the page has heard what it has said");
        count.passed += 1;
    }
    match usize::try_from(count.passed) {
        Ok(passed) if passed == PROGRAMS.len() => Ok(count),
        _ => Err(format!(
            "{README} has not {} programs with dependencies",
            PROGRAMS.len()
        )),
    }
}

/// What stands between the fences of one kind.
fn blocks<'a>(text: &'a str, kind: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{kind}\n");
    let parts: Vec<&str> = text.split(&fence).skip(1).collect();
    parts
        .into_iter()
        .filter_map(|rest| Some(rest.split_once("```")?.0))
}

/// A new project, in which nothing is but what was pasted and where this tree is.
fn paste(here: &Path, name: &str, dependencies: &str, program: &str) -> Result<(), String> {
    if here.exists() {
        fs::remove_dir_all(here).map_err(|error| format!("{}: {error}", here.display()))?;
    }
    let source = here.join("src");
    fs::create_dir_all(&source).map_err(|error| format!("{}: {error}", source.display()))?;
    let (log, adapter) = (absolute(".")?, absolute("crates/wakelog-ws")?);
    let manifest = format!(
        "[package]\nname = \"{name}\"\nedition = \"2024\"\n\n{dependencies}\n\
         [patch.crates-io]\nwakelog = {{ path = {log:?} }}\nwakelog-ws = {{ path = {adapter:?} }}\n\
         \n[workspace]\n"
    );
    write(&here.join("Cargo.toml"), &manifest)?;
    // The versions that this tree is tested with.
    write(&here.join("Cargo.lock"), &read(Path::new("Cargo.lock"))?)?;
    write(&source.join("main.rs"), program)
}

/// Runs the script of a page, until it says that its event is on disk and that it has heard it.
fn visit(here: &Path, page: &str) -> Result<(), String> {
    let script = page
        .split_once("<script type=\"module\">")
        .ok_or("a page without a script")?;
    let script = script.1.replace("</script>", "");
    write(
        &here.join("page.mjs"),
        &script.replace("\"/wakelog.js\"", "\"./wakelog.js\""),
    )?;
    // A module without a package.json that says so.
    write(&here.join("package.json"), "{\"type\": \"module\"}")?;
    let mut node = Command::new("node");
    // From 22 on, Node has it without being asked.
    node.args(["--experimental-websocket", "page.mjs"])
        .current_dir(here);
    let mut node = Running::start(node.stdout(Stdio::piped()))?;
    let output = node.0.stdout.take().ok_or("no output")?;
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let (mut heard, mut stored) = (None, None);
    while heard.is_none() || heard != stored {
        let line = lines.recv_timeout(PATIENCE).map_err(|error| {
            format!("the page has heard {heard:?}, and {stored:?} is on disk: {error}")
        })?;
        if let Some(offset) = line.strip_prefix("on disk at ") {
            stored = offset.parse::<u64>().ok();
        } else if let Some(offset) = line.strip_suffix(" { text: 'hello' }") {
            heard = offset.parse::<u64>().ok();
        }
    }
    Ok(())
}

/// A program that ends when it is dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self, String> {
        let child = command.stdin(Stdio::null()).spawn();
        child
            .map(Self)
            .map_err(|error| format!("{command:?} does not start: {error}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> Result<String, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address
        .map(|address| address.to_string())
        .map_err(|error| error.to_string())
}

fn wait_for(address: &str) -> Result<(), String> {
    let start = Instant::now();
    while let Err(error) = TcpStream::connect(address) {
        if start.elapsed() > PATIENCE {
            return Err(format!("nobody listens on {address}: {error}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The body of a file that a server has.
fn get(address: &str, path: &str) -> Result<String, String> {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    let answer = ask().map_err(|error: std::io::Error| format!("{path}: {error}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(format!("{path}: {answer}")),
    }
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    let here = env::current_dir().map_err(|error| error.to_string())?;
    Ok(here.join(path))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
