//! The check of signatures, as options of `triggers create` and `triggers update`.

use clap::{Args, ValueEnum};
use jiff::SignedDuration;

use crate::cli::CliError;
use crate::cli::secrets::Source;
use crate::domain::signature::{Encoding, Hash, HmacSettings, SignatureScheme, TimeUnit};
use crate::http::triggers::{SignatureChanges, SignatureView};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Checks GitHub's X-Hub-Signature-256 with this secret: `ask`, `-` (standard input) or `env:VARIABLE`. It stands for
    /// `--signature github --signature-secret SOURCE`.
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["signature", "signature_secret"])]
    github_secret: Option<Source>,
    /// Checks the requests' signatures in this sender's manner.
    #[arg(long, value_name = "SCHEME")]
    signature: Option<Scheme>,
    /// The secret shared with the sender: `ask`, `-` (standard input) or `env:VARIABLE`. The one before ends at once.
    #[arg(long, value_name = "SOURCE")]
    signature_secret: Option<Source>,
    /// Keeps the secret that is replaced good for a while, such as 24h; 0s ends those that were kept.
    #[arg(long, value_name = "DURATION")]
    keep_previous: Option<SignedDuration>,
    /// How far the signature's time may be from the server's, such as 5m; 0s for any time.
    #[arg(long, value_name = "DURATION")]
    tolerance: Option<SignedDuration>,
    /// The header that carries the signature, with `--signature hmac`.
    #[arg(long, value_name = "HEADER")]
    hmac_header: Option<String>,
    /// What stands before the signature in it, such as `sha256=`.
    #[arg(long, value_name = "TEXT", requires = "hmac_header")]
    hmac_prefix: Option<String>,
    /// The hash.
    #[arg(long, requires = "hmac_header")]
    hmac_hash: Option<HashName>,
    /// How the signature is written.
    #[arg(long, requires = "hmac_header")]
    hmac_encoding: Option<EncodingName>,
    /// The header that carries the time, where the sender signs one.
    #[arg(long, value_name = "HEADER", requires = "hmac_header")]
    hmac_timestamp_header: Option<String>,
    /// What the time is counted in.
    #[arg(long, requires = "hmac_timestamp_header")]
    hmac_timestamp_unit: Option<UnitName>,
    /// What is signed, such as `{timestamp}.{body}`; the body alone when absent.
    #[arg(long, value_name = "TEMPLATE", requires = "hmac_header")]
    hmac_signed: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scheme {
    Github,
    StandardWebhooks,
    Stripe,
    Slack,
    Hubspot,
    Shopify,
    Zoom,
    Meta,
    /// Any other; tell it with the options that begin with --hmac.
    Hmac,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HashName {
    Sha1,
    Sha256,
    Sha512,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum EncodingName {
    Hex,
    Base64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum UnitName {
    Seconds,
    Milliseconds,
}

impl Options {
    /// What is sent of them, if something was said.
    pub(super) fn changes(self) -> Result<Option<SignatureChanges>, CliError> {
        let secret = self.github_secret.as_ref().or(self.signature_secret.as_ref());
        let secret = secret.map(|source| source.read("the secret shared with the sender")).transpose()?;
        let keep_previous_secs = self.keep_previous.map(seconds).transpose()?;
        let tolerance_secs = self.tolerance.map(seconds).transpose()?;
        let scheme = self.scheme()?;
        let nothing = scheme.is_none() && secret.is_none() && keep_previous_secs.is_none() && tolerance_secs.is_none();
        Ok((!nothing).then_some(SignatureChanges { scheme, secret, keep_previous_secs, tolerance_secs }))
    }

    fn scheme(self) -> Result<Option<SignatureScheme>, CliError> {
        let header = self.hmac_header;
        Ok(Some(match self.signature {
            None if self.github_secret.is_some() => SignatureScheme::Github,
            None if header.is_none() => return Ok(None),
            Some(Scheme::Github) => SignatureScheme::Github,
            Some(Scheme::StandardWebhooks) => SignatureScheme::StandardWebhooks,
            Some(Scheme::Stripe) => SignatureScheme::Stripe,
            Some(Scheme::Slack) => SignatureScheme::Slack,
            Some(Scheme::Hubspot) => SignatureScheme::Hubspot,
            Some(Scheme::Shopify) => SignatureScheme::Shopify,
            Some(Scheme::Zoom) => SignatureScheme::Zoom,
            Some(Scheme::Meta) => SignatureScheme::Meta,
            None | Some(Scheme::Hmac) => SignatureScheme::Hmac(HmacSettings {
                header: header.map(|header| header.to_lowercase()).ok_or_else(|| {
                    CliError::Usage("say in --hmac-header which header carries the signature".to_owned())
                })?,
                prefix: self.hmac_prefix.unwrap_or_default(),
                hash: match self.hmac_hash {
                    Some(HashName::Sha1) => Hash::Sha1,
                    Some(HashName::Sha512) => Hash::Sha512,
                    Some(HashName::Sha256) | None => Hash::Sha256,
                },
                encoding: match self.hmac_encoding {
                    Some(EncodingName::Base64) => Encoding::Base64,
                    Some(EncodingName::Hex) | None => Encoding::Hex,
                },
                timestamp_header: self.hmac_timestamp_header.map(|header| header.to_lowercase()),
                timestamp_unit: match self.hmac_timestamp_unit {
                    Some(UnitName::Milliseconds) => TimeUnit::Milliseconds,
                    Some(UnitName::Seconds) | None => TimeUnit::Seconds,
                },
                signed: self.hmac_signed.unwrap_or_else(|| "{body}".to_owned()),
            }),
        }))
    }
}

fn seconds(duration: SignedDuration) -> Result<u64, CliError> {
    u64::try_from(duration.as_secs())
        .map_err(|_| CliError::Usage(format!("{duration} is negative. Write a duration such as 5m")))
}

/// A signature's check, as a person reads it.
pub(super) fn show(signature: Option<&SignatureView>) -> String {
    let Some(signature) = signature else { return "none".to_owned() };
    let tolerance = match signature.tolerance_secs {
        None => String::new(),
        Some(0) => ", of any time".to_owned(),
        Some(seconds) => format!(", within {seconds} s"),
    };
    let previous = signature.previous_until.iter().map(|until| format!(", another secret until {until}"));
    format!("{}{tolerance}{}", signature.header, previous.collect::<String>())
}
