//! From the flags to a connection.

use std::{fs, path::Path, time::Duration};

use parlor_client::Parlor;

use crate::{
    cli::Global,
    failure::{Exit, Failure, GET_A_TOKEN},
};

/// How long a call may take. The server's own limits are shorter, so this is for a network that swallows answers.
const DEADLINE: Duration = Duration::from_secs(30);

/// Connects as the flags say.
pub(crate) async fn connect(global: &Global) -> Result<Parlor, Failure> {
    let token = token(global)?.ok_or_else(|| Failure::new(Exit::Denied, "no token is set").next(GET_A_TOKEN))?;
    let mut connect = Parlor::at(&global.addr).token(token).deadline(DEADLINE);
    if let Some(pem) = authority(global)? {
        connect = connect.authority(pem);
    }
    Ok(connect.connect().await?)
}

/// The caller's token, if one is set.
pub(crate) fn token(global: &Global) -> Result<Option<String>, Failure> {
    if let Some(token) = secret_from_environment("PARLOR_TOKEN") {
        return Ok(Some(token));
    }
    global.token_file.as_deref().map(secret_from_file).transpose()
}

/// The certificate authority to trust, if one is named.
pub(crate) fn authority(global: &Global) -> Result<Option<Vec<u8>>, Failure> {
    let read = |path: &Path| {
        fs::read(path)
            .map_err(|error| Failure::new(Exit::Usage, format!("cannot read {}", path.display())).because(&error))
    };
    global.ca.as_deref().map(read).transpose()
}

/// A secret of the environment, if it is set and not empty.
pub(crate) fn secret_from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// A secret that is alone in a file.
pub(crate) fn secret_from_file(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Usage, format!("cannot read {}", path.display())).because(&error))?;
    match text.trim() {
        "" => Err(Failure::new(Exit::Usage, format!("{} is empty", path.display()))),
        secret => Ok(secret.to_owned()),
    }
}
