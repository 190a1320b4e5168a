//! Asking nginx for a site, as a visitor would.

use anyhow::{Context, Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two tries. Short against what is measured, and long enough to leave the machine to the panel.
const PAUSE: Duration = Duration::from_millis(2);
const ANSWER: Duration = Duration::from_secs(5);
const GIVE_UP: Duration = Duration::from_secs(60);

/// A way to ask.
#[derive(Clone)]
pub(crate) enum Probe {
    /// HTTP at a port of this machine.
    Http(u16),
    /// HTTPS at a port of this machine.
    Https(u16, Arc<ClientConfig>),
}

impl Probe {
    /// Over TLS, with any certificate, as long as it is the site's.
    pub(crate) fn https(port: u16) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Named(provider)))
            .with_no_client_auth();
        // Every try is a visitor who has never been here.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self::Https(port, Arc::new(config)))
    }

    /// Asks until the site answers with its own page; returns the time since `began`.
    pub(crate) fn until_served(&self, host: &str, began: Instant) -> Result<Duration> {
        loop {
            let answer = self.ask(host, "/");
            let now = began.elapsed();
            match answer {
                Ok(answer) if is_served(&answer) => return Ok(now),
                Ok(answer) if now > GIVE_UP => {
                    bail!("{host} is not served: {}", answer.lines().next().unwrap_or("nothing"))
                }
                Err(error) if now > GIVE_UP => return Err(error.context(format!("{host} is not served"))),
                _ => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Asks until the site is no longer served; returns the time since `began`.
    pub(crate) fn until_gone(&self, host: &str, began: Instant) -> Result<Duration> {
        while self.serves(host) {
            if began.elapsed() > GIVE_UP {
                bail!("{host} is still served after it was deleted");
            }
            std::thread::sleep(PAUSE);
        }
        Ok(began.elapsed())
    }

    /// Whether the site answers with its own page now.
    pub(crate) fn serves(&self, host: &str) -> bool {
        self.ask(host, "/").is_ok_and(|answer| is_served(&answer))
    }

    /// One request on a connection of its own; the answer with its head.
    fn ask(&self, host: &str, path: &str) -> Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        match self {
            Self::Http(port) => exchange(connect(*port)?, &request),
            Self::Https(port, config) => {
                let name = ServerName::try_from(host.to_owned()).context("not a host name")?;
                let connection = ClientConnection::new(config.clone(), name)?;
                exchange(StreamOwned::new(connection, connect(*port)?), &request)
            }
        }
    }
}

fn is_served(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ")
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn exchange(mut stream: impl Read + Write, request: &str) -> Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    // The head and the beginning of the page are enough.
    stream.take(4096).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Accepts certificates that nobody has signed, but only the site's own.
#[derive(Debug)]
struct Named(Arc<CryptoProvider>);

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Names stand in a certificate as they are written.
        let name = name.to_str();
        match certificate.windows(name.len()).any(|part| part == name.as_bytes()) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::CertificateError::NotValidForName.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
