//! Is there a port that answers, and a certificate that can be trusted?

use std::{io, sync::Arc, time::Duration};

use jiff::Timestamp;
use parlor_client::Address;
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    PATIENCE,
    certificate::{Validity, validity},
    report::{Finding, Report},
};

/// A certificate that ends sooner than this should be renewed by now.
const RENEW: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Whether Parlor's address can be reached as it is written.
pub(crate) async fn check(address: &Address, authority: Option<&[u8]>, report: &mut Report) -> io::Result<bool> {
    let stream = match dial(address.host(), address.port()).await {
        Ok(stream) => stream,
        Err(error) => {
            let kind = error.kind();
            let fix = if kind == io::ErrorKind::ConnectionRefused {
                "start parlord there (`parlord dev` to try it), or name another address with --addr"
            } else if kind == io::ErrorKind::TimedOut {
                "look for a firewall in between, and whether the host is up"
            } else {
                "check the host's name, and --addr"
            };
            report.fail("address", &format!("cannot connect to {address}: {error}"), fix)?;
            return Ok(false);
        }
    };
    report.ok("address", &format!("{address} accepts connections"))?;
    if !address.is_tls() {
        let finding = if address.is_loopback() {
            Finding::ok("tls", "not used, which is fine on this machine")
        } else {
            let fix = "set server.tls_cert and server.tls_key of parlord (or put a proxy with TLS before it), and call https://";
            Finding::warning("tls", "not used: everybody on the way can read your token", fix)
        };
        report.add(finding)?;
        return Ok(true);
    }
    let finding = match handshake(stream, address.host(), authority, &[b"h2"]).await {
        Ok(Some(validity)) => judge(validity, Timestamp::now()),
        Ok(None) => Finding::ok("tls", "the certificate is trusted"),
        Err(error) => refused(&error),
    };
    let trusted = finding.result != super::report::Mark::Failed;
    report.add(finding)?;
    Ok(trusted)
}

/// Opens a TCP connection, within [`PATIENCE`].
pub(crate) async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    timeout(PATIENCE, TcpStream::connect((bare, port)))
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")))
}

/// Greets a server with TLS as every client does, and reads its certificate's dates.
pub(crate) async fn handshake(
    stream: TcpStream,
    host: &str,
    authority: Option<&[u8]>,
    protocols: &[&[u8]],
) -> io::Result<Option<Validity>> {
    let mut config = ClientConfig::builder().with_root_certificates(roots(authority)?).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = timeout(PATIENCE, connecting)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer to the greeting")))?;
    Ok(stream.get_ref().1.peer_certificates().and_then(<[_]>::first).and_then(|leaf| validity(leaf)))
}

fn roots(authority: Option<&[u8]>) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match authority {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                roots.add(certificate).map_err(io::Error::other)?;
            }
            if roots.is_empty() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the file of --ca holds no certificate"));
            }
        }
        // Some of a system's certificates may be odd; the others count.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

fn judge(validity: Validity, now: Timestamp) -> Finding {
    let day = |time: Timestamp| time.strftime("%Y-%m-%d").to_string();
    let dates = format!(
        "the certificate is trusted, and valid from {} to {}",
        day(validity.not_before),
        day(validity.not_after)
    );
    match validity.left(now) {
        Some(left) if left < RENEW => Finding::warning(
            "tls",
            format!("{dates}: {} days are left", left.as_secs() / 86_400),
            "renew it now; parlord has to be restarted to use it",
        ),
        Some(_) | None => Finding::ok("tls", dates),
    }
}

/// What a refused greeting means, in the order in which people get it wrong.
fn refused(error: &io::Error) -> Finding {
    let certificate = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(wrong)) => wrong,
        Some(rustls::Error::InvalidMessage(_)) => {
            let fix =
                "the server speaks without TLS here: write http:// or leave the scheme out, or set server.tls_cert";
            return Finding::failed("tls", "the server does not answer with TLS", fix);
        }
        _ => {
            let fix =
                "does the server speak TLS on this port? http:// is for those that do not; is the file of --ca PEM?";
            return Finding::failed("tls", format!("the greeting failed: {error}"), fix);
        }
    };
    if matches!(certificate, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        return Finding::failed(
            "tls",
            format!("the certificate is over: {certificate}"),
            "renew it, and restart parlord",
        );
    }
    if matches!(certificate, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) {
        let fix = "compare the clocks of both machines";
        return Finding::failed("tls", format!("the certificate is not valid yet: {certificate}"), fix);
    }
    if matches!(certificate, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) {
        let fix = "call the server by a name that the certificate holds, or have one made that holds this name";
        return Finding::failed("tls", format!("the certificate is for another name: {certificate}"), fix);
    }
    if matches!(certificate, CertificateError::UnknownIssuer) {
        let fix = "name the authority that signed it with --ca FILE, or let the server send the whole chain (server.tls_cert)";
        return Finding::failed("tls", "nobody that is trusted here signed the certificate", fix);
    }
    Finding::failed("tls", format!("the certificate is refused: {certificate}"), "have a new one made")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Mark;

    #[test]
    fn a_certificate_that_ends_soon_is_a_warning() {
        let validity = Validity {
            not_before: "2025-01-01T00:00:00Z".parse().expect("a time"),
            not_after: "2025-04-01T00:00:00Z".parse().expect("a time"),
        };
        let at = |now: &str| judge(validity, now.parse().expect("a time"));
        assert_eq!(at("2025-02-01T00:00:00Z").result, Mark::Ok);
        let soon = at("2025-03-28T12:00:00Z");
        assert_eq!(soon.result, Mark::Warning);
        assert!(soon.message.contains("to 2025-04-01: 3 days are left"), "{}", soon.message);
    }
}
