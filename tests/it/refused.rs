//! What the system refuses: permissions and descriptors. Typed errors, and nothing is lost.

use crate::child::{self, Child};
use crate::host::is_root;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use wakelog::{AppendError, Log, OpenError, Options, ReadError};

/// Nobody: the id that owns nothing.
const NOBODY: u32 = 65_534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Starts this test as a user that is bound by permissions. The program is copied to where that
/// user can reach it.
fn start_unprivileged(test: &str, dir: &Path) -> Child {
    let own = std::env::current_exe().unwrap();
    let task = dir.to_str().unwrap();
    if !is_root() {
        return Child::start(test, task);
    }
    let copy = dir.join("program");
    fs::copy(own, &copy).unwrap();
    set_mode(&copy, 0o755);
    let mut command = Command::new(copy);
    command.uid(NOBODY).gid(NOBODY).current_dir("/");
    Child::start_by(command, test, task)
}

fn word(error: &OpenError) -> &'static str {
    match error {
        OpenError::Permission(_) => "permission",
        OpenError::NotFound { .. } => "not found",
        _ => "other",
    }
}

/// What both opens say about each path.
fn tell_opens(dir: &Path) {
    for name in ["closed", "sealed", "below/new", "readable"] {
        let path = dir.join(name);
        let open = Log::open(&path).map(|log| log.next_offset().to_string());
        let read = Log::open_read_only(&path).map(|log| log.next_offset().to_string());
        let say = |result: Result<String, OpenError>| {
            result.unwrap_or_else(|error| word(&error).to_owned())
        };
        child::tell(&format!("{name}: {}, {}", say(open), say(read)));
    }
}

#[test]
fn without_permission_there_is_an_error_that_says_so() {
    if let Some(dir) = child::task() {
        return tell_opens(Path::new(&dir));
    }
    let test = "refused::without_permission_there_is_an_error_that_says_so";
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["closed", "sealed", "readable"] {
        let log = Log::open(path(name)).unwrap();
        log.append("a", name).unwrap();
    }
    fs::create_dir(path("below")).unwrap();
    let files = |name: &str, mode: u32| {
        for entry in fs::read_dir(path(name)).unwrap() {
            set_mode(&entry.unwrap().path(), mode);
        }
    };
    // A directory that cannot be entered; files that cannot be read; no new name; reading alone.
    set_mode(&path("closed"), 0o000);
    files("sealed", 0o000);
    set_mode(&path("sealed"), 0o555);
    set_mode(&path("below"), 0o555);
    files("readable", 0o444);
    set_mode(&path("readable"), 0o555);
    set_mode(dir.path(), 0o755);

    let mut child = start_unprivileged(test, dir.path());
    let expected = [
        "closed: permission, permission",
        "sealed: permission, permission",
        "below/new: permission, not found",
        "readable: permission, 1",
    ];
    for line in expected {
        assert_eq!(child.hear().as_deref(), Some(line));
    }
    child.finish();

    // The owner gives the permissions back, and nothing was lost.
    for name in ["closed", "sealed", "readable"] {
        set_mode(&path(name), 0o700);
        files(name, 0o600);
        let log = Log::open(path(name)).unwrap();
        let event = log.reader().open().unwrap().next().unwrap().unwrap();
        assert_eq!(event.payload(), name.as_bytes());
    }
    set_mode(&path("below"), 0o700);
}

/// Lets this process have no more descriptors than it has; returns the limits to go back to.
fn no_more_descriptors() -> Rlimit {
    let before = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        maximum: before.maximum,
    };
    setrlimit(Resource::Nofile, none).unwrap();
    before
}

fn run_out_of_descriptors(dir: &Path) {
    let options = Options::new().segment_bytes(16 << 10).open_segments(1);
    let log = options.open(dir.join("log")).unwrap();
    let payload = [5; 1_000];
    while log.segments() < 6 {
        log.append("a", payload).unwrap();
    }
    log.sync().unwrap();
    let mut reader = log.reader().open().unwrap();
    let limits = no_more_descriptors();

    // The spare that is there may be used up; then a roll has no descriptor.
    let refused = (0..1_000).find_map(|_| log.append("a", payload).err());
    assert!(matches!(refused, Some(AppendError::Io(_))), "{refused:?}");
    let end = log.next_offset();
    let other = Log::open(dir.join("other")).map(|_| ());
    assert!(matches!(other, Err(OpenError::Io(_))), "{other:?}");
    let unmapped = reader.next();
    assert!(matches!(unmapped, Err(ReadError::Io(_))), "{unmapped:?}");

    setrlimit(Resource::Nofile, limits).unwrap();
    // All of it goes on where it was, the reader too.
    assert_eq!(log.append("a", payload).unwrap(), end);
    for offset in 0..=end {
        let event = reader.next().unwrap().unwrap();
        assert_eq!((event.offset(), event.payload()), (offset, &payload[..]));
    }
    drop((reader, log));
    assert_eq!(
        options.open(dir.join("log")).unwrap().next_offset(),
        end + 1
    );
}

#[test]
fn without_descriptors_nothing_is_lost() {
    if let Some(dir) = child::task() {
        run_out_of_descriptors(Path::new(&dir));
        return child::tell("done");
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "refused::without_descriptors_nothing_is_lost";
    let mut child = Child::start(test, dir.path().to_str().unwrap());
    assert_eq!(child.hear().as_deref(), Some("done"));
    child.finish();
}
