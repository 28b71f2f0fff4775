//! Which pages may connect. A browser sends the origin of the page with the upgrade, and lets any
//! page ask any server: it is the server that must refuse.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use std::net::IpAddr;
use std::str::FromStr;

/// Scheme, host and port as a browser writes them: `https://app.example`, `http://localhost:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin(String);

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let authority = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or("an origin begins with https:// or http://")?;
        if authority.is_empty() || authority.contains(['/', '?', '#', '@', '*', ' ']) {
            return Err("an origin is a scheme, a host and perhaps a port, exactly: no path, no *");
        }
        if text.chars().any(char::is_uppercase) {
            return Err("browsers write origins in lower case");
        }
        Ok(Self(text.to_owned()))
    }
}

/// The origins that are let in.
#[derive(Clone, Debug)]
pub(super) struct Origins {
    allowed: Vec<Origin>,
}

impl Origins {
    pub(super) fn new(allowed: Vec<Origin>) -> Self {
        Self { allowed }
    }

    /// Whether a request with these headers may connect.
    pub(super) fn permit(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            // No browser.
            return true;
        };
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let listed = self.allowed.iter().any(|allowed| allowed.0 == origin);
        origins.next().is_none() && (listed || is_own(origin, headers))
    }
}

/// The page came from this very server. The header `Host` alone does not prove that: a name that
/// somebody else owns can be made to point here while a page of that name is open, and then both
/// headers agree. So only what nobody else can own counts: addresses, and `localhost`.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let (Some(authority), Some(host)) = (authority, host) else {
        return false;
    };
    authority == host && (name_of(host) == "localhost" || is_address(name_of(host)))
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
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    inner.unwrap_or(name).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(allowed: &[&str], origin: Option<&str>, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let allowed = allowed.iter().map(|text| text.parse().unwrap());
        Origins::new(allowed.collect()).permit(&headers)
    }

    #[test]
    fn only_listed_origins_and_the_own_one() {
        let list = ["https://app.example", "http://localhost:3000"];
        for origin in list {
            assert!(permit(&list, Some(origin), "127.0.0.1:4510"));
        }
        assert!(permit(&list, None, "127.0.0.1:4510"), "a program");
        let foreign = [
            "https://app.example:444",
            "http://app.example",
            "https://app.example.evil.example",
            "https://evil.example",
            "null",
            "",
        ];
        for origin in foreign {
            assert!(!permit(&list, Some(origin), "127.0.0.1:4510"), "{origin}");
        }
    }

    #[test]
    fn the_own_origin_is_an_address_or_localhost() {
        for host in [
            "127.0.0.1:4510",
            "localhost:4510",
            "[::1]:4510",
            "192.0.2.7",
        ] {
            assert!(permit(&[], Some(&format!("http://{host}")), host), "{host}");
        }
        // A name that was made to point here.
        assert!(!permit(
            &[],
            Some("http://evil.example:4510"),
            "evil.example:4510"
        ));
        assert!(!permit(
            &[],
            Some("http://localhost:4511"),
            "localhost:4510"
        ));
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
        ] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_origins_are_none() {
        let mut headers = HeaderMap::new();
        for origin in ["https://app.example", "https://evil.example"] {
            headers.append(ORIGIN, origin.parse().unwrap());
        }
        let allowed = vec!["https://app.example".parse().unwrap()];
        assert!(!Origins::new(allowed).permit(&headers));
    }
}
