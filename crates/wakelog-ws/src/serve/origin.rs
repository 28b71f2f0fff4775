//! Which pages may connect. A browser sends the origin of the page with the upgrade, and lets any
//! page ask any server: it is the server that must refuse.

use std::net::SocketAddr;
use std::str::FromStr;

use super::upgrade::Upgrade;

/// Scheme, host and port as a browser writes them: `https://app.example`, `http://localhost:8080`,
/// `tauri://localhost`. The port that is usual for the scheme may be given; browsers leave it out.
///
/// ```
/// use wakelog_ws::Origin;
///
/// let origin: Origin = "https://app.example".parse().unwrap();
/// assert!("https://*.example".parse::<Origin>().is_err());
/// # drop(origin);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// A text is no origin; it says why, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OriginError(&'static str);

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "null" {
            // Of files, and of frames that any page can make.
            return Err(OriginError("null is the origin of anybody"));
        }
        let bare = OriginError("an origin begins with a scheme such as https://");
        let parts = text.split_once("://");
        let parts = parts.filter(|(scheme, _)| is_scheme(scheme));
        let (scheme, authority) = parts.ok_or(bare)?;
        if authority.is_empty() || authority.contains(['/', '?', '#', '@', '*', ' ']) {
            let text = "an origin is a scheme, a host and perhaps a port, exactly: no path, no *";
            return Err(OriginError(text));
        }
        if text.chars().any(char::is_uppercase) {
            return Err(OriginError("browsers write origins in lower case"));
        }
        Ok(Self(format!("{scheme}://{}", usual(scheme, authority))))
    }
}

/// The origins that are let in.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    pub(super) allowed: Vec<Origin>,
    pub(super) any: bool,
}

impl Origins {
    /// Whether a request may connect.
    pub(super) fn permit(&self, upgrade: &Upgrade) -> bool {
        if self.any {
            return true;
        }
        let mut origins = upgrade.headers("origin");
        let Some(origin) = origins.next() else {
            // No browser.
            return true;
        };
        let listed = || self.allowed.iter().any(|allowed| allowed.0 == origin);
        origins.next().is_none() && (listed() || is_own(origin, upgrade))
    }
}

/// The page came from this very server. The header `Host` alone does not prove that: a name that
/// somebody else owns can be made to point here while a page of that name is open, and then both
/// headers agree. So only what such a page cannot have counts: an address, `localhost`, or a
/// secure scheme, for which this server would need a certificate of the other's name.
fn is_own(origin: &str, upgrade: &Upgrade) -> bool {
    let mut hosts = upgrade.headers("host");
    let (Some((scheme, authority)), Some(host), None) =
        (origin.split_once("://"), hosts.next(), hosts.next())
    else {
        return false;
    };
    let name = name_of(host);
    let trusted = match scheme {
        "https" => true,
        "http" => name == "localhost" || is_address(name),
        _ => false,
    };
    trusted && authority == usual(scheme, host)
}

fn is_scheme(text: &str) -> bool {
    let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(plain)
}

/// Without the port that goes without saying.
fn usual<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return authority,
    };
    authority.strip_suffix(port).unwrap_or(authority)
}

/// Without the port.
fn name_of(host: &str) -> &str {
    let port = |(_, port): &(&str, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
    match host.rsplit_once(':').filter(port) {
        Some((name, _)) => name,
        None => host,
    }
}

fn is_address(name: &str) -> bool {
    // With a port it is what the library reads, brackets and all.
    format!("{name}:0").parse::<SocketAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: [&str; 2] = ["https://app.example", "http://localhost:3000"];

    fn permit(allowed: &[&str], origins: &[&str], host: &str) -> bool {
        let mut upgrade = Upgrade::default().header("Host", host);
        for origin in origins {
            upgrade = upgrade.header("Origin", *origin);
        }
        let allowed = allowed.iter().map(|text| text.parse().unwrap());
        let origins = Origins {
            allowed: allowed.collect(),
            any: false,
        };
        origins.permit(&upgrade)
    }

    #[test]
    fn only_listed_origins_and_the_own_one() {
        for origin in LIST {
            assert!(permit(&LIST, &[origin], "127.0.0.1:4510"));
        }
        assert!(permit(&LIST, &[], "127.0.0.1:4510"), "a program");
        let foreign = [
            "null",
            "",
            " ",
            "*",
            "file://",
            "app.example",
            "//app.example",
            "http://app.example",
            "ws://app.example",
            "wss://app.example",
            "https://app.example:444",
            "https://app.example:443",
            "https://app.example:",
            "https://app.example/",
            "https://app.example ",
            " https://app.example",
            "https://app.example.",
            "https://APP.example",
            "HTTPS://app.example",
            "https://app.example.evil.example",
            "https://evil.example",
            "https://evilapp.example",
            "https://app.example@evil.example",
            "https://evil.example/https://app.example",
            "https://evil.example#https://app.example",
            "https://x.app.example",
            "https://app.exampl",
            "https://app.example\u{fffd}",
            "http://localhost:3001",
            "http://localhost",
            "http://127.0.0.1:3000",
            "https://127.0.0.1:4511",
            "chrome-extension://app.example",
        ];
        for origin in foreign {
            assert!(!permit(&LIST, &[origin], "127.0.0.1:4510"), "{origin}");
        }
    }

    #[test]
    fn the_own_origin_is_an_address_localhost_or_secure() {
        for host in [
            "127.0.0.1:4510",
            "localhost:4510",
            "[::1]:4510",
            "192.0.2.7",
        ] {
            assert!(permit(&[], &[&format!("http://{host}")], host), "{host}");
        }
        assert!(permit(&[], &["https://app.example"], "app.example"));
        // A name that was made to point here.
        let name = "evil.example:4510";
        assert!(!permit(&[], &[&format!("http://{name}")], name));
        assert!(!permit(&[], &["http://localhost:4511"], "localhost:4510"));
        assert!(!permit(&[], &["https://app.example"], "app.example:444"));
    }

    /// A browser leaves the usual port out; a program that makes the `Host`, or a person who makes
    /// the list, need not.
    #[test]
    fn usual_ports_go_without_saying() {
        for (origin, host) in [
            ("https://app.example", "app.example:443"),
            ("http://localhost", "localhost:80"),
            ("http://[::1]", "[::1]:80"),
        ] {
            assert!(permit(&[], &[origin], host), "{host}");
        }
        for (origin, host) in [
            ("https://app.example", "app.example:80"),
            ("http://localhost", "localhost:443"),
            ("http://[::80]", "[::80]:81"),
        ] {
            assert!(!permit(&[], &[origin], host), "{host}");
        }
        let list = ["https://app.example:443", "http://app.example:80"];
        for origin in ["https://app.example", "http://app.example"] {
            assert!(permit(&list, &[origin], "127.0.0.1:4510"), "{origin}");
        }
        assert!(!permit(&["https://a.b:80"], &["https://a.b"], "x"));
    }

    #[test]
    fn applications_have_schemes_of_their_own_and_null_is_everybody() {
        let list = [
            "tauri://localhost",
            "app-1.x://window",
            "capacitor://localhost:443",
        ];
        for origin in list {
            assert!(permit(&list, &[origin], "localhost"), "{origin}");
            assert!(!permit(&[], &[origin], "localhost"), "{origin}");
        }
        for origin in [
            "tauri://localhos",
            "http://localhost:1",
            "capacitor://localhost",
            "null",
        ] {
            assert!(!permit(&list, &[origin], "localhost"), "{origin}");
        }
        assert!("null".parse::<Origin>().is_err());
    }

    #[test]
    fn origins_are_exact() {
        for wrong in [
            "*",
            "app.example",
            "https://",
            "https://a/",
            "https://*.a",
            "https://A.b",
            "://a",
            "1a://b",
            "Tauri://localhost",
        ] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_origins_are_none_and_two_hosts_are_nobody() {
        let two = ["https://app.example", "https://evil.example"];
        assert!(!permit(&LIST, &two, "127.0.0.1:4510"));
        let upgrade = Upgrade::default().header("origin", "http://[::1]:1");
        let upgrade = upgrade
            .header("host", "[::1]:1")
            .header("host", "app.example");
        assert!(!Origins::default().permit(&upgrade));
    }
}
