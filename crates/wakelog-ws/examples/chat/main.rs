//! A chat on a wakelog log: the page that shows what happens to messages that somebody missed.
//!
//! ```text
//! cargo run --release --example chat
//! ```
//!
//! Open the address that it prints in two tabs, go offline in one, write in the other, come back.
//! Kill the server with `kill -9` and start it again on the same port: nothing is lost, and the
//! tabs come back by themselves.

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use wakelog::Log;
use wakelog_ws::Hub;

const HELP: &str = "\
chat [--dir DIRECTORY] [--listen ADDRESS:PORT]

  --dir      where the log is kept; default: wakelog-chat among the system's temporary files
  --listen   default: 127.0.0.1:0, a free port of this machine";

const CSS: &str = "text/css";
const SCRIPT: &str = "text/javascript";

/// The page: path, type, text.
const FILES: [(&str, &str, &str); 10] = [
    ("/", "text/html", include_str!("page.html")),
    ("/page.css", CSS, include_str!("page.css")),
    ("/log.css", CSS, include_str!("log.css")),
    ("/people.css", CSS, include_str!("people.css")),
    ("/page.js", SCRIPT, include_str!("page.js")),
    ("/dom.js", SCRIPT, include_str!("dom.js")),
    ("/identity.js", SCRIPT, include_str!("identity.js")),
    ("/log.js", SCRIPT, include_str!("log.js")),
    ("/view.js", SCRIPT, include_str!("view.js")),
    ("/icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// The page loads nothing from elsewhere; the colours of people are style attributes.
const POLICY: &str =
    "default-src 'self'; style-src-attr 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

/// How often it is noted where everybody is, so that it is known of those who leave.
const LOOK: Duration = Duration::from_millis(100);

/// How many people are remembered after they left.
const PEOPLE_MAX: usize = 500;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse(env::args().skip(1)) {
        Ok(Some(arguments)) => serve(arguments).await,
        Ok(None) => {
            println!("{HELP}");
            Ok(())
        }
        Err(sentence) => Err(format!("{sentence}\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    dir: PathBuf,
    listen: SocketAddr,
}

impl Arguments {
    /// `None` if somebody asks for help.
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut dir = env::temp_dir().join("wakelog-chat");
        let mut listen = SocketAddr::from(([127, 0, 0, 1], 0));
        while let Some(word) = words.next() {
            if word == "--help" || word == "-h" {
                return Ok(None);
            }
            let value = words
                .next()
                .ok_or_else(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--dir" => dir = PathBuf::from(value),
                "--listen" => {
                    listen = value
                        .parse()
                        .map_err(|_| format!("{value} is not ADDRESS:PORT"))?;
                }
                _ => return Err(format!("{word} is unknown")),
            }
        }
        Ok(Some(Self { dir, listen }))
    }
}

async fn serve(Arguments { dir, listen }: Arguments) -> Result<(), String> {
    let log = Log::open(&dir)
        .map_err(|error| format!("cannot open the log in {}: {error}", dir.display()))?;
    let hub = Hub::new(log.clone()).map_err(|error| error.to_string())?;
    let people = People {
        log,
        hub: hub.clone(),
        seen: Arc::default(),
    };
    tokio::spawn(people.clone().keep_looking());

    let mut routes = hub
        .axum_router()
        .route("/people", get(move || async move { people.answer() }));
    for (path, kind, text) in FILES {
        routes = routes.route(path, get(move || async move { file(kind, text) }));
    }

    let refused = |error| format!("cannot listen on {listen}: {error}");
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    println!("listening on http://{address}/");
    println!("Open it in two tabs. The log is in {}.", dir.display());
    println!("Kill this server if you like. To bring it back: --listen {address}");
    let routes: Router = routes;
    axum::serve(listener, routes)
        .await
        .map_err(|error| error.to_string())
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let kind = format!("{kind}; charset=utf-8");
    let headers = [
        (CONTENT_TYPE, kind.as_str()),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, text).into_response()
}

/// Who is here, who was, and where in the log each of them is.
#[derive(Clone)]
struct People {
    log: Log,
    hub: Hub,
    seen: Arc<Mutex<BTreeMap<String, Person>>>,
}

#[derive(Clone, Serialize)]
struct Person {
    id: String,
    online: bool,
    /// Everything before it is processed, by that person's own word.
    offset: u64,
}

impl People {
    async fn keep_looking(self) {
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            self.look();
        }
    }

    fn look(&self) -> Vec<Person> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.values_mut().for_each(|person| person.online = false);
        for client in self.hub.clients() {
            if let Some(id) = client.consumer {
                let offset = client.acked.unwrap_or(client.position);
                seen.insert(
                    id.clone(),
                    Person {
                        id,
                        online: true,
                        offset,
                    },
                );
            }
        }
        if seen.len() > PEOPLE_MAX {
            seen.retain(|_, person| person.online);
        }
        seen.values().cloned().collect()
    }

    fn answer(&self) -> Response {
        let answer = serde_json::json!({ "people": self.look(), "end": self.log.durable_offset() });
        ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
    }
}
