//! One token for all clients. It comes in `hello`, never in a URL, and is never written anywhere.

use crate::failure::Failure;
use std::fmt;
use std::fs;
use std::future::ready;
use std::path::Path;
use subtle::ConstantTimeEq as _;
use wakelog_ws::{Authorize, Denied, Hello, HookFuture, Principal, Upgrade};

/// The token that clients must give.
pub(super) struct Token(Vec<u8>);

/// Reads a token; white space around it does not count.
pub(super) fn read(file: &Path) -> Result<Token, Failure> {
    let at = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::System(format!("cannot read the token file {at}: {error}")))?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        let text = format!("the token file {at} must hold one word; write a long random one");
        return Err(Failure::Usage(text));
    }
    Ok(Token(token.as_bytes().to_vec()))
}

impl Token {
    /// How long it takes tells nothing but whether the length was right.
    fn fits(&self, given: Option<&str>) -> bool {
        let given = given.unwrap_or_default().as_bytes();
        bool::from(self.0.ct_eq(given))
    }
}

impl Authorize for Token {
    fn hello<'a>(&'a self, hello: &'a Hello, _: &'a Upgrade) -> HookFuture<'a, Principal> {
        let principal = || Principal {
            consumer: hello.consumer.clone(),
            from: hello.consumer.clone(),
            identities: Vec::new(),
            valid_for: None,
        };
        let denied = || Denied("the token is missing or wrong".to_owned());
        let fits = self.fits(hello.token.as_deref());
        Box::pin(ready(fits.then(principal).ok_or_else(denied)))
    }

    fn subscribe<'a>(&'a self, _: &'a Principal, _: &'a str) -> HookFuture<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    fn publish<'a>(&'a self, _: &'a Principal, _: &'a str) -> HookFuture<'a, ()> {
        Box::pin(ready(Ok(())))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_fits() {
        let token = Token(b"s3cret".to_vec());
        assert!(token.fits(Some("s3cret")));
        for wrong in [
            None,
            Some(""),
            Some("s3cre"),
            Some("s3crets"),
            Some("S3cret"),
        ] {
            assert!(!token.fits(wrong), "{wrong:?}");
        }
        assert_eq!(format!("{token:?}"), "Token");
    }
}
