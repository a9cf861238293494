//! Who a user is, by name or by number.

use std::io;

use super::CommandError;

/// The file of the users of this host.
const FILE: &str = "/etc/passwd";

/// A user as the kernel and a program know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Name and home, where they are known.
    pub(super) names: Option<(String, String)>,
}

/// Whether this process may run something as the user: it is root, or the user himself.
pub fn may_become(text: &str) -> bool {
    let numbers = text.split_once(':').map_or(text, |(uid, _)| uid);
    let file = std::fs::read_to_string(FILE).unwrap_or_default();
    let named = file.lines().find_map(|line| parse(line, text)).map(|user| user.uid);
    let wanted = named.or_else(|| numbers.parse().ok());
    crate::rights::may_become_others() || wanted == Some(rustix::process::geteuid().as_raw())
}

/// Finds a user: `name`, `uid` or `uid:gid`.
pub(super) async fn find(text: &str) -> Result<User, CommandError> {
    if let Some((uid, gid)) = text.split_once(':')
        && let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse())
    {
        return Ok(User { uid, gid, names: None });
    }
    let failed = |source| CommandError::Users { user: text.to_owned(), source };
    let file = tokio::task::spawn_blocking(|| std::fs::read_to_string(FILE)).await;
    let file = file.map_err(io::Error::other).and_then(|read| read).map_err(failed)?;
    if let Some(user) = file.lines().find_map(|line| parse(line, text)) {
        return Ok(user);
    }
    // LDAP and the like.
    if let Some(user) = ask_system(text).await.map_err(failed)? {
        return Ok(user);
    }
    match text.parse() {
        // A number need not be anybody's.
        Ok(uid) => Ok(User { uid, gid: uid, names: None }),
        Err(_) => Err(CommandError::NoUser { user: text.to_owned() }),
    }
}

async fn ask_system(text: &str) -> io::Result<Option<User>> {
    let output =
        tokio::process::Command::new("getent").args(["passwd", "--", text]).kill_on_drop(true).output().await;
    match output {
        Ok(output) => Ok(String::from_utf8_lossy(&output.stdout).lines().find_map(|line| parse(line, text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a user is called; his number where he has no name here.
pub(super) fn name(uid: u32) -> String {
    let (file, number) = (std::fs::read_to_string(FILE).unwrap_or_default(), uid.to_string());
    let of_number = |line: &str| parse(line, &number).filter(|user| user.uid == uid);
    file.lines().find_map(of_number).and_then(|user| user.names).map_or(number, |(name, _)| name)
}

/// `name:x:uid:gid:comment:home:shell`
fn parse(line: &str, wanted: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let (name, uid, gid, home) = (*fields.first()?, *fields.get(2)?, *fields.get(3)?, *fields.get(5)?);
    if name != wanted && uid != wanted {
        return None;
    }
    let names = Some((name.to_owned(), home.to_owned()));
    Some(User { uid: uid.parse().ok()?, gid: gid.parse().ok()?, names })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn users_are_found_by_name_and_number_and_nobody_else_is() {
        let root = find("root").await.unwrap();
        assert_eq!((root.uid, root.gid, root.names.unwrap().0.as_str()), (0, 0, "root"));
        assert_eq!(find("0").await.unwrap().uid, 0);
        assert_eq!(find("4711:4712").await.unwrap(), User { uid: 4711, gid: 4712, names: None });
        assert_eq!(find("4294000").await.unwrap(), User { uid: 4_294_000, gid: 4_294_000, names: None });
        assert!(matches!(find("nobody-of-this-name").await, Err(CommandError::NoUser { .. })));
    }
}
