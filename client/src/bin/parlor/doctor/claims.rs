//! What a token says, read without its signature: the server judges that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};

use super::report::Finding;
use crate::token::LONGEST;

/// Which scopes the calls need, from the contract's comments.
const NEEDS: [(&str, &str); 4] = [
    ("rooms:read", "GetRoom, ListRooms and ListGuilds"),
    ("rooms:write", "CreateRoom and EndRoom"),
    ("events:read", "SubscribeVoiceEvents"),
    ("ops", "EndRoom with force"),
];

/// How soon is soon for a token's end.
const SOON: Duration = Duration::from_secs(600);

/// Header and claims of a token.
#[derive(Debug)]
pub(crate) struct Claims {
    header: Header,
    body: Body,
}

#[derive(Debug, Deserialize)]
struct Header {
    #[serde(default)]
    alg: String,
    #[serde(default)]
    kid: String,
}

#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    exp: Option<u64>,
    iat: Option<u64>,
    nbf: Option<u64>,
    #[serde(default)]
    scope: String,
    guilds: Option<Vec<String>>,
}

impl Claims {
    /// Reads a token (RFC 7519, section 7.2).
    pub(crate) fn decode(token: &str) -> Result<Self, &'static str> {
        let mut parts = token.split('.');
        let (Some(header), Some(body), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err("it has to have three parts with dots between");
        };
        Ok(Self {
            header: part(header).ok_or("its header cannot be read")?,
            body: part(body).ok_or("its claims cannot be read")?,
        })
    }

    /// The key that signed it, as it says.
    pub(crate) fn kid(&self) -> &str {
        &self.header.kid
    }

    /// What is right and wrong with it as of now.
    pub(crate) fn judge(&self, now: SystemTime) -> Vec<Finding> {
        vec![self.life(now), self.key(), self.guilds(), self.scopes()]
    }

    fn life(&self, now: SystemTime) -> Finding {
        let renew = "get a new one from your issuer; in development: export PARLOR_TOKEN=$(parlor token)";
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let Some(end) = self.body.exp else {
            return Finding::failed("token", "it never ends (no `exp`), which Parlor refuses", renew);
        };
        let whose = format!("of `{}`, from issuer `{}`", self.body.sub, self.body.iss);
        if end <= now {
            return Finding::failed("token", format!("{whose}: it ended {} ago", span(now - end)), renew);
        }
        if let Some(start) = self.body.nbf.filter(|start| *start > now) {
            let message = format!("{whose}: it begins in {}", span(start - now));
            return Finding::failed("token", message, "compare this clock with the issuer's, or wait");
        }
        if self.body.iat.is_some_and(|issued| end.saturating_sub(issued) > LONGEST.as_secs()) {
            let fix = "let your issuer give tokens for 24 hours at most";
            return Finding::failed(
                "token",
                format!("{whose}: it is for longer than 24 hours, which Parlor refuses"),
                fix,
            );
        }
        let left = format!("{whose}: it ends in {}", span(end - now));
        if end - now < SOON.as_secs() { Finding::warning("token", left, renew) } else { Finding::ok("token", left) }
    }

    fn key(&self) -> Finding {
        match (self.header.alg.as_str(), self.header.kid.as_str()) {
            ("RS256" | "ES256" | "EdDSA", kid) if !kid.is_empty() => {
                Finding::ok("signature", format!("{} by key `{kid}` (not verified here)", self.header.alg))
            }
            ("RS256" | "ES256" | "EdDSA", _) => Finding::failed(
                "signature",
                "the token names no key (`kid`)",
                "let your issuer name its key in the header",
            ),
            (other, _) => Finding::failed(
                "signature",
                format!("the algorithm is `{other}`, which Parlor never accepts"),
                "let your issuer sign with RS256 (or ES256 or EdDSA where auth.algorithms allows it)",
            ),
        }
    }

    fn guilds(&self) -> Finding {
        let fix = r#"let your issuer add the claim `guilds`: ids as strings, or exactly ["*"]"#;
        match self.body.guilds.as_deref() {
            None => Finding::failed("guilds", "the token has no claim `guilds`", fix),
            Some([]) => Finding::failed("guilds", "the token covers no guild", fix),
            Some([all]) if all == "*" => Finding::ok("guilds", "the token covers all"),
            Some(guilds) => match guilds.iter().find(|guild| !guild.bytes().all(|byte| byte.is_ascii_digit())) {
                Some(wrong) => Finding::failed("guilds", format!("`{wrong}` is no id of a guild"), fix),
                None => Finding::ok("guilds", format!("the token covers {}", guilds.join(", "))),
            },
        }
    }

    fn scopes(&self) -> Finding {
        let has = |scope: &str| self.body.scope.split(' ').any(|name| name == scope);
        let missing: Vec<_> = NEEDS
            .iter()
            .filter(|(scope, _)| !has(scope))
            .map(|(scope, calls)| format!("{calls} will be refused without {scope}"))
            .collect();
        if missing.is_empty() {
            return Finding::ok("scopes", "the token allows every call");
        }
        let fix = "that is fine if it is meant so; otherwise let your issuer add to the claim `scope`";
        Finding::warning("scopes", missing.join("; "), fix)
    }
}

fn part<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// A time in the largest unit that fits.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Mark;

    const NOW: u64 = 1_700_000_000;

    fn judged(header: &str, claims: &str) -> Vec<(&'static str, Mark)> {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let token = format!("{}.{}.signature", encode(header), encode(claims));
        let findings = Claims::decode(&token).expect("a token").judge(UNIX_EPOCH + Duration::from_secs(NOW));
        findings.into_iter().map(|finding| (finding.check, finding.result)).collect()
    }

    #[test]
    fn a_good_token_has_nothing_wrong() {
        let claims = format!(
            r#"{{"iss":"i","sub":"s","iat":{NOW},"exp":{},"guilds":["*"],"scope":"rooms:read rooms:write events:read ops"}}"#,
            NOW + 3_600
        );
        let judged = judged(r#"{"alg":"RS256","kid":"k"}"#, &claims);
        assert!(judged.iter().all(|(_, mark)| *mark == Mark::Ok), "{judged:?}");
    }

    #[test]
    fn each_thing_that_is_wrong_is_found() {
        let cases = [
            (r#"{"alg":"none","kid":"k"}"#, format!(r#"{{"exp":{}}}"#, NOW + 9_000), "signature"),
            (r#"{"alg":"RS256"}"#, format!(r#"{{"exp":{}}}"#, NOW + 9_000), "signature"),
            (r#"{"alg":"RS256","kid":"k"}"#, format!(r#"{{"exp":{NOW}}}"#), "token"),
            (r#"{"alg":"RS256","kid":"k"}"#, r#"{"sub":"s"}"#.to_owned(), "token"),
            (r#"{"alg":"RS256","kid":"k"}"#, format!(r#"{{"exp":{},"nbf":{}}}"#, NOW + 9, NOW + 5), "token"),
            (r#"{"alg":"RS256","kid":"k"}"#, format!(r#"{{"iat":{NOW},"exp":{}}}"#, NOW + 86_401), "token"),
            (r#"{"alg":"RS256","kid":"k"}"#, format!(r#"{{"exp":{},"guilds":["12*"]}}"#, NOW + 9), "guilds"),
            (r#"{"alg":"RS256","kid":"k"}"#, format!(r#"{{"exp":{},"guilds":[]}}"#, NOW + 9), "guilds"),
        ];
        for (header, claims, check) in cases {
            let judged = judged(header, &claims);
            assert!(judged.contains(&(check, Mark::Failed)), "{header} {claims}: {judged:?}");
        }
    }

    #[test]
    fn a_missing_scope_is_a_warning_and_an_end_that_is_near_too() {
        let claims = format!(r#"{{"exp":{},"guilds":["*"],"scope":"rooms:read"}}"#, NOW + 60);
        let judged = judged(r#"{"alg":"ES256","kid":"k"}"#, &claims);
        assert_eq!(judged[0], ("token", Mark::Warning));
        assert_eq!(judged[3], ("scopes", Mark::Warning));
    }

    #[test]
    fn what_is_no_token_is_said_without_showing_it() {
        for wrong in ["", "a.b", "a.b.c", "a.b.c.d"] {
            assert!(Claims::decode(wrong).is_err(), "{wrong}");
        }
    }
}
