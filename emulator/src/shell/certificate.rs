//! The voice gateway's TLS: an authority of its own, which clients have to be told to trust.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

/// The names that clients on loopback dial.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// A server that proves to be on loopback, and the authority that says so.
pub(super) struct Proof {
    pub acceptor: TlsAcceptor,
    /// The authority's certificate, PEM.
    pub authority: String,
}

impl Proof {
    /// Makes an authority and a certificate, both for this run alone; `host` is a further name that clients dial.
    pub(super) fn new(host: &str) -> io::Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Authority of discord-emulator");
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate().map_err(io::Error::other)?;
        let root = authority.self_signed(&authority_key).map_err(io::Error::other)?;
        let issuer = Issuer::new(authority, authority_key);

        let mut names = NAMES.map(str::to_owned).to_vec();
        if !NAMES.contains(&host) {
            names.push(host.to_owned());
        }
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, "discord-emulator");
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let leaf = params.signed_by(&key, &issuer).map_err(io::Error::other)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key.into()))
            .map_err(io::Error::other)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), authority: root.pem() })
    }
}
