//! Reads certificates and keys from PEM files, and says what else such a file holds.

use std::fs::File;
use std::io;

use lectern_record::file;
use lectern_record::help::Problem;
use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The largest file; the system's whole store has a quarter of it.
const MAX_BYTES: usize = 1 << 20;

/// What the editors of Windows begin a file with.
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// What a key that is encrypted contains: PKCS#8, and PKCS#1 or SEC 1.
const ENCRYPTED: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];

/// All certificates of a file.
pub(super) fn certificates(file: &File) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let text = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(invalid)?;
    if found.is_empty() {
        let problem = Problem::new("holds no certificate in PEM form");
        return Err(problem.with_help("name a file that has one, or convert it: openssl x509 -inform der"));
    }
    Ok(found)
}

/// The first private key of a file.
pub(super) fn private_key(file: &File) -> Result<PrivateKeyDer<'static>, Problem> {
    let text = read(file)?;
    let holds = |part: &[u8]| text.windows(part.len()).any(|at| at == part);
    if ENCRYPTED.into_iter().any(holds) {
        let problem = Problem::new("holds an encrypted private key");
        return Err(problem.with_help("write it without a password: openssl pkey -in FILE -out NEW"));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        Error::NoItemsFound => Problem::new("holds no private key in PEM form")
            .with_help("name a file that has one, or convert it: openssl pkey -inform der"),
        error => invalid(error),
    })
}

/// The text of a file, without a byte order mark.
fn read(file: &File) -> Result<Vec<u8>, Problem> {
    let mut text = file::read_all(file, MAX_BYTES).map_err(unreadable)?;
    if UTF16_MARKS.into_iter().any(|mark| text.starts_with(mark)) {
        return Err(Problem::new("is in UTF-16").with_help("save it as ASCII or UTF-8"));
    }
    if text.starts_with(UTF8_MARK) {
        text.drain(..UTF8_MARK.len());
    }
    Ok(text)
}

pub(super) fn unreadable(error: io::Error) -> Problem {
    Problem::new("cannot be read").caused_by(error).with_help("check the file and its rights")
}

/// The error itself may hold the file's content.
fn invalid(_: Error) -> Problem {
    Problem::new("is no valid PEM file").with_help("make or copy it again")
}
