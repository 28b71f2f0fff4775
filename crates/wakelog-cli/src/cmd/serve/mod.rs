//! `wakelog serve`: the log over WebSocket, with a page to play with.

mod accept;
mod metrics;
mod routes;
mod token;

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use wakelog::Log;
use wakelog_ws::{Hub, Origin};

/// When clients come back after a drain, spread at random.
const COME_BACK: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(500)..=Duration::from_secs(10);

/// How long a drain may take before the process ends all the same.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Serve a log over WebSocket.
///
/// /events is the WebSocket (protocol wakelog.v1), /wakelog.js the client for browsers, / a page to
/// play with, /healthz says 200 while all is well, /metrics has numbers for Prometheus. SIGTERM and
/// Ctrl-C end it in order: clients are answered what they have published, and asked to come back
/// later.
///
/// A page of another origin may connect only if --allow-origin names it. The server's own origin is
/// allowed if it is https, an IP address or localhost: an insecure name could be anybody's, so name
/// it. Programs that send no origin are let in, and need the token if there is one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: wakelog serve events --listen 127.0.0.1:4510 \
                        --allow-origin https://app.example --token-file token")]
pub(crate) struct Args {
    /// The directory of the log; it is created if it is not there.
    dir: PathBuf,

    /// Where to listen: an address and a port; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4510")]
    listen: SocketAddr,

    /// An origin whose pages may connect, such as https://app.example; may be given several times.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<Origin>,

    /// A file with the token that each client must give in its `hello`; never in a URL.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Do not serve the page to play with.
    #[arg(long)]
    no_page: bool,

    /// Do not serve /metrics: whoever reaches the server can read them, they are numbers alone.
    #[arg(long)]
    no_metrics: bool,
}

pub(crate) fn run(args: Args, output: &mut Output) -> Result<Outcome, Failure> {
    let token = args.token_file.as_deref().map(token::read).transpose()?;
    let log = Log::open(&args.dir)?;
    if token.is_none() && !args.listen.ip().is_loopback() {
        let reach = args.listen;
        output.warn(&format!(
            "whoever reaches {reach} may read and write this log; --token-file asks for a token"
        ));
    }
    let mut builder = Hub::builder(log.clone())
        .map_err(|error| Failure::system("cannot serve the log", &error))?;
    builder = builder.allow_origins(args.allow_origin.iter().cloned());
    if let Some(token) = token {
        builder = builder.authorize(token);
    }
    let hub = builder.build();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system("cannot start the server", &error))?;
    let served = runtime.block_on(serve(&args, log.clone(), hub, output));
    runtime.shutdown_timeout(Duration::from_secs(1));
    served?;
    log.close()
        .map_err(|error| Failure::system("the last events may not be on disk", &error))?;
    Ok(Outcome::Fine)
}

async fn serve(args: &Args, log: Log, hub: Hub, output: &mut Output) -> Result<(), Failure> {
    let listen = args.listen;
    let refused = |error| {
        let text = format!("cannot listen on {listen}: {error}; choose another --listen");
        Failure::System(text)
    };
    let mut signals = Signals::new()?;
    let listener = TcpListener::bind(listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let routes = routes::all(log, hub.clone(), args);
    output.line(&format!("listening on {address}"))?;
    output.flush()?;

    let (stop, stopped) = watch::channel(false);
    let limits = accept::Limits::default();
    let server = tokio::spawn(accept::serve(listener, routes, limits, stopped));
    signals.next().await;
    output.note("draining; a second Ctrl-C ends it at once");
    let drain = async {
        hub.drain(COME_BACK).await;
        let _ = stop.send(true);
        let _ = server.await;
    };
    tokio::select! {
        // What is left after the limit is cut: clients come back by themselves.
        _ = tokio::time::timeout(DRAIN_LIMIT, drain) => Ok(()),
        () = signals.next() => Ok(()),
    }
}

/// The signals that end a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let failed = |error| Failure::system("cannot listen for signals", &error);
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
