//! A user of its own for each role, when started as root.
//!
//! The named user (`lethe-gateway`, …) if the machine has it, else a number from [`FIRST_ROLE_ID`] on that nobody else has.
//! No such number needs to be created: the kernel knows users by number only.

use lethe_handover::Role;

/// First of the five numbers for roles without a named user: control, gateway, dialer, node, engine, in this order.
pub const FIRST_ROLE_ID: u32 = 64610;

const ORDER: [Role; 5] = [Role::Control, Role::Gateway, Role::Dialer, Role::Node, Role::Engine];

/// Why a role has no user.
#[derive(Debug, PartialEq, Eq)]
pub enum UserError {
    /// The named user has a number that is no good.
    Named {
        /// Name of the user.
        name: String,
    },
    /// The number belongs to somebody else.
    Taken {
        /// Number of the user or group.
        id: u32,
        /// Who has it.
        by: String,
        /// Name of the user that would be used instead.
        name: String,
    },
    /// `/etc/passwd` or `/etc/group` cannot be read.
    Unreadable(std::io::ErrorKind),
}

impl std::fmt::Display for UserError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named { name } => write!(f, "the user {name} must have a user and a group number other than 0"),
            Self::Taken { id, by, name } => {
                write!(f, "the number {id} belongs to {by}: create the user {name} (useradd --system --user-group {name})")
            }
            Self::Unreadable(kind) => write!(f, "/etc/passwd and /etc/group cannot be read ({kind})"),
        }
    }
}

impl std::error::Error for UserError {}

/// User and group of each role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleUsers([(u32, u32); 5]);

impl RoleUsers {
    /// The users of this machine; `None` when not started as root: then every part runs as the user who started it.
    ///
    /// # Errors
    /// A number that belongs to somebody else, or a named user that is root.
    pub fn of_this_machine() -> Result<Option<Self>, UserError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        // A machine without these files (a container made from nothing) has no users that could collide.
        let read = |path| match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            other => other.map_err(|error| UserError::Unreadable(error.kind())),
        };
        Self::from_files(&read("/etc/passwd")?, &read("/etc/group")?).map(Some)
    }

    fn from_files(passwd: &str, group: &str) -> Result<Self, UserError> {
        let mut users = [(0, 0); 5];
        for ((role, id), user) in ORDER.into_iter().zip(FIRST_ROLE_ID..).zip(&mut users) {
            *user = one(role, id, passwd, group)?;
        }
        Ok(Self(users))
    }

    /// User and group of `role`.
    #[must_use]
    pub fn of(&self, role: Role) -> (u32, u32) {
        let [control, gateway, dialer, node, engine] = self.0;
        match role {
            Role::Control => control,
            Role::Dialer => dialer,
            Role::Engine => engine,
            Role::Gateway => gateway,
            Role::Node => node,
        }
    }
}

fn one(role: Role, id: u32, passwd: &str, group: &str) -> Result<(u32, u32), UserError> {
    let name = format!("lethe-{}", role.name());
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let number = |fields: &[String], at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    // passwd(5): name:password:UID:GID:…; group(5): name:password:GID:…
    if let Some(entry) = passwd.lines().map(fields).find(|entry| entry.first() == Some(&name)) {
        return match (number(&entry, 2), number(&entry, 3)) {
            (Some(uid), Some(gid)) if uid != 0 && gid != 0 => Ok((uid, gid)),
            _ => Err(UserError::Named { name }),
        };
    }
    let holder =
        |file: &str| file.lines().map(fields).find(|entry| number(entry, 2) == Some(id)).and_then(|entry| entry.first().cloned());
    match holder(passwd).map(|by| format!("the user {by}")).or_else(|| holder(group).map(|by| format!("the group {by}"))) {
        Some(by) => Err(UserError::Taken { id, by, name }),
        None => Ok((id, id)),
    }
}

#[cfg(test)]
mod tests {
    use lethe_handover::Role;

    use super::{FIRST_ROLE_ID, RoleUsers, UserError};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nlethe-gateway:x:990:991::/:/usr/sbin/nologin\n";

    #[test]
    fn named_users_come_before_numbers_and_all_differ() {
        let users = RoleUsers::from_files(PASSWD, "root:x:0:\n").unwrap_or(RoleUsers([(0, 0); 5]));
        assert_eq!(users.of(Role::Gateway), (990, 991));
        assert_eq!(users.of(Role::Control), (FIRST_ROLE_ID, FIRST_ROLE_ID));
        assert_eq!(users.of(Role::Engine), (FIRST_ROLE_ID + 4, FIRST_ROLE_ID + 4));
        let mut all = Role::CONFINED.map(|role| users.of(role).0).to_vec();
        all.push(users.of(Role::Control).0);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn a_number_of_somebody_else_is_refused() {
        let taken = |by: &str| UserError::Taken { id: FIRST_ROLE_ID, by: by.into(), name: "lethe-control".into() };
        assert_eq!(RoleUsers::from_files(&format!("{PASSWD}alice:x:64610:100::/:\n"), ""), Err(taken("the user alice")));
        assert_eq!(RoleUsers::from_files(PASSWD, "staff:x:64610:\n"), Err(taken("the group staff")));
    }

    #[test]
    fn a_named_user_is_never_root() {
        for entry in ["lethe-node:x:0:100::/:", "lethe-node:x:100:0::/:", "lethe-node:x:abc:1::/:"] {
            assert_eq!(RoleUsers::from_files(entry, ""), Err(UserError::Named { name: "lethe-node".into() }), "{entry}");
        }
    }
}
