//! Signatures that senders make over the raw bytes of a request with a shared secret.
//!
//! All of them are HMACs. What differs is what goes into them and how they are written down; `Manner` is the table of that.

mod manner;

use std::fmt;

use aws_lc_rs::hmac;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use utoipa::ToSchema;

use crate::domain::sealed::Sealed;
use crate::domain::signing_secret::SigningSecret;

use manner::{Manner, Piece, pieces};

/// How far a signature's time may be from the server's where a trigger says nothing, in seconds: what Standard Webhooks,
/// Stripe, Slack and HubSpot recommend.
pub const DEFAULT_TOLERANCE: u64 = 300;

/// The widest tolerance, in seconds: a day. A wider one protects from nothing.
pub const MAX_TOLERANCE: u64 = 86_400;

/// How many secrets a signature can have at a time: the present one, and those from before that are still good.
pub const MAX_SECRETS: usize = 4;

/// The most signatures that one header may list: senders list one per secret.
const MAX_LISTED: usize = 16;

/// The check of a request's signature.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Signature {
    /// Whose manner of signing.
    pub scheme: SignatureScheme,
    /// The shared secret, sealed.
    pub secret: Sealed,
    /// Secrets from before a rotation, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<PreviousSecret>,
    /// How far the signature's time may be from the server's, in seconds; 0 for any time.
    #[serde(default = "default_tolerance")]
    pub tolerance_secs: u64,
}

/// A secret that was replaced and is good for a while yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreviousSecret {
    /// The secret, sealed.
    pub secret: Sealed,
    /// When it ends.
    pub until: Timestamp,
}

fn default_tolerance() -> u64 {
    DEFAULT_TOLERANCE
}

impl Signature {
    /// The secrets that are good at a time, the present one first.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &Sealed> {
        let previous = self.previous.iter().filter(move |previous| previous.until > now);
        std::iter::once(&self.secret).chain(previous.map(|previous| &previous.secret))
    }
}

/// Manners of signing. The first word of each description is the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignatureScheme {
    /// `X-Hub-Signature-256: sha256=<hex>` of the body (GitHub, "Validating webhook deliveries").
    Github,
    /// `webhook-signature: v1,<base64> ...` of `id.timestamp.body`, or the same with `svix-` for `webhook-`; the secret is
    /// `whsec_` and base64 (Standard Webhooks 1.0.0).
    StandardWebhooks,
    /// `Stripe-Signature: t=<seconds>,v1=<hex>,...` of `timestamp.body` (Stripe, "Verify webhook signatures manually").
    Stripe,
    /// `X-Slack-Signature: v0=<hex>` of `v0:timestamp:body` (Slack, "Verifying requests from Slack").
    Slack,
    /// `X-HubSpot-Signature-v3: <base64>` of method, URL, body and timestamp (HubSpot, "Validating requests").
    Hubspot,
    /// `X-Shopify-Hmac-Sha256: <base64>` of the body (Shopify, "Validate the origin of your webhook").
    Shopify,
    /// `x-zm-signature: v0=<hex>` of `v0:timestamp:body` (Zoom, "Verify webhook events").
    Zoom,
    /// `X-Hub-Signature-256: sha256=<hex>` of the body (Meta, "Validate payloads").
    Meta,
    /// An HMAC of any other manner.
    Hmac(HmacSettings),
}

/// The manner of a sender that has none of its own name here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HmacSettings {
    /// The header that carries the signature.
    #[schema(example = "x-signature")]
    pub header: String,
    /// What stands before the signature in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(example = "sha256=")]
    pub prefix: String,
    /// The hash; SHA-256 when absent.
    #[serde(default)]
    pub hash: Hash,
    /// How the signature is written; in hexadecimal digits when absent.
    #[serde(default)]
    pub encoding: Encoding,
    /// The header that carries the time, where the sender signs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "x-timestamp")]
    pub timestamp_header: Option<String>,
    /// What the time is counted in; seconds when absent.
    #[serde(default)]
    pub timestamp_unit: TimeUnit,
    /// What is signed: any text with `{body}`, and where the sender signs them `{timestamp}`, `{method}`, `{url}`,
    /// `{url_decoded}` (as HubSpot does it) and `{header:NAME}`. The body alone when absent.
    #[serde(default = "body_alone")]
    #[schema(example = "{timestamp}.{body}")]
    pub signed: String,
}

fn body_alone() -> String {
    "{body}".to_owned()
}

/// Hashes that an HMAC is made with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hash {
    /// SHA-1: for old senders only. As an HMAC it is not broken.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Hash {
    fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal digits, all in lower case or all in upper case.
    #[default]
    Hex,
    /// Base64 with padding (RFC 4648, section 4), in its one canonical form.
    Base64,
}

/// What a time is counted in, since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds.
    #[default]
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
        })
    }
}

/// What a signature is made over, as it came in.
#[derive(Clone, Copy)]
pub struct Signed<'a> {
    /// The method.
    pub method: &'a str,
    /// The URL as the sender called it. It may hold a key: it goes into the check and nowhere else.
    pub url: &'a str,
    /// Headers, names in lower case.
    pub headers: &'a [(String, String)],
    /// The raw body.
    pub body: &'a [u8],
}

/// Why a signature was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// There is none.
    #[error("The signature is missing. This trigger wants it in the header {0}")]
    Missing(String),
    /// Something it covers is not there.
    #[error(
        "The header {0} is missing, which the signature covers. Check how the sender signs, and that nothing in between takes it out"
    )]
    MissingPart(String),
    /// Which one counts cannot be told.
    #[error("The header {0} came more than once, and the signature needs one. Check what adds the other")]
    Repeated(String),
    /// It is written in another way.
    #[error("The signature in {header} is malformed. This trigger wants {form}")]
    Malformed {
        /// Where it is.
        header: String,
        /// How it should be written.
        form: String,
    },
    /// Its time cannot be read.
    #[error("The time in {header} is malformed. It should be the {unit} since 1970, in digits")]
    MalformedTime {
        /// Where it is.
        header: String,
        /// What it is counted in.
        unit: TimeUnit,
    },
    /// It was made over something else, or with another secret.
    #[error(
        "The signature in {0} does not fit the body. Check that sender and trigger have the same secret, and that nothing in between changes the body"
    )]
    Mismatch(String),
    /// The same, where the URL is signed too.
    #[error(
        "The signature in {0} does not fit the request. Check that sender and trigger have the same secret, that the URL the sender calls begins with the server's public_url or the group's host name, and that nothing in between changes URL or body"
    )]
    MismatchWithUrl(String),
    /// It was made too long ago.
    #[error(
        "The signature is too old: its time is {age} s ago, and this trigger takes {tolerance} s. Send it anew, or compare the sender's clock with the server's"
    )]
    TooOld {
        /// How long ago, in seconds.
        age: i64,
        /// How long ago it may be, in seconds.
        tolerance: u64,
    },
    /// It was made in the future.
    #[error(
        "The signature is too new: its time is {ahead} s ahead, and this trigger takes {tolerance} s. Compare the sender's clock with the server's"
    )]
    TooNew {
        /// How far ahead, in seconds.
        ahead: i64,
        /// How far ahead it may be, in seconds.
        tolerance: u64,
    },
}

impl SignatureScheme {
    /// The header that carries the signature.
    pub fn header(&self) -> &str {
        Manner::of(self, &[]).header
    }

    /// Whether the sender signs a time, so that a signature can be too old.
    pub fn has_time(&self) -> bool {
        Manner::of(self, &[]).time.is_some()
    }

    /// Whether the sender signs the URL it calls.
    pub fn covers_url(&self) -> bool {
        Manner::of(self, &[]).covers_url()
    }

    /// Why a secret cannot be one of this scheme, if so.
    pub fn check_secret(&self, secret: &str) -> Result<(), String> {
        match self {
            Self::StandardWebhooks => SigningSecret::parse(secret).map(drop).map_err(|error| error.to_string()),
            _ => Ok(()),
        }
    }

    /// Whether a request carries a signature under one of some secrets; answers which. `tolerance` is in seconds, 0 for any time.
    ///
    /// The signature comes first and its time second, as a time that is not signed says nothing.
    pub fn verify(
        &self,
        secrets: &[&str],
        request: &Signed<'_>,
        now: Timestamp,
        tolerance: u64,
    ) -> Result<usize, SignatureError> {
        let manner = Manner::of(self, request.headers);
        let value = one(request.headers, manner.header)?;
        let value = value.ok_or_else(|| SignatureError::Missing(manner.header.to_owned()))?;
        let (time, tags) = manner.read(value, request.headers)?;
        let signed = pieces(manner.signed).map_err(|_| manner.mismatch())?;
        for piece in &signed {
            if let Piece::Header(name) = piece {
                one(request.headers, name)?.ok_or_else(|| SignatureError::MissingPart((*name).to_owned()))?;
            }
        }
        let fits = secrets.iter().position(|secret| {
            let Some(key) = self.key(&manner, secret) else { return false };
            let mut context = hmac::Context::with_key(&key);
            signed.iter().for_each(|piece| piece.feed(request, time, &mut context));
            let right = context.sign();
            // All are compared, so that the time tells nothing of which one fits.
            tags.iter().fold(false, |fits, tag| fits | bool::from(tag.as_slice().ct_eq(right.as_ref())))
        });
        let fits = fits.ok_or_else(|| manner.mismatch())?;
        if let Some(time) = manner.instant(time)? {
            in_window(time, now, tolerance)?;
        }
        Ok(fits)
    }

    fn key(&self, manner: &Manner<'_>, secret: &str) -> Option<hmac::Key> {
        let algorithm = manner.hash.algorithm();
        match self {
            Self::StandardWebhooks => Some(hmac::Key::new(algorithm, SigningSecret::parse(secret).ok()?.bytes())),
            _ => Some(hmac::Key::new(algorithm, secret.as_bytes())),
        }
    }
}

/// The one value of a header.
fn one<'a>(headers: &'a [(String, String)], name: &str) -> Result<Option<&'a str>, SignatureError> {
    let mut values = headers.iter().filter(|(header, _)| header == name);
    let first = values.next();
    if values.next().is_some() {
        return Err(SignatureError::Repeated(name.to_owned()));
    }
    Ok(first.map(|(_, value)| value.as_str()))
}

fn in_window(time: Timestamp, now: Timestamp, tolerance: u64) -> Result<(), SignatureError> {
    let age = now.duration_since(time);
    let within = SignedDuration::from_secs(i64::try_from(tolerance).unwrap_or(i64::MAX));
    if tolerance == 0 {
        Ok(())
    } else if age > within {
        Err(SignatureError::TooOld { age: age.as_secs(), tolerance })
    } else if -age > within {
        Err(SignatureError::TooNew { ahead: -age.as_secs(), tolerance })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
