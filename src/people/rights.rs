//! Roles, rights, and the table between them.

/// What a person is in the car.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Rides in the car, answers alerts, looks vehicles up.
    Crew = 1,
    /// Answers for crews, also for what they looked up.
    Supervisor = 2,
    /// Looks after the unit, and sees nothing of what it reads.
    Technician = 3,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Crew, Role::Supervisor, Role::Technician];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Crew => "crew",
            Self::Supervisor => "supervisor",
            Self::Technician => "technician",
        }
    }

    /// The role that `word` stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }

    pub(super) fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|role| *role as u32 == number)
    }
}

/// Something that not everybody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// See, hear and answer alerts.
    Alerts,
    /// See reads: on the reel and the map, by a search, in the lists' entries.
    Reads,
    /// Take up and take off entries of the crew's own.
    Entries,
    /// Write the journal out.
    Export,
    /// Read the audit chain.
    Audit,
    /// Purge the journal and lock it otherwise.
    Upkeep,
    /// Set what is heard and how loud, start a drill.
    Settings,
    /// Say who may sign on at this car.
    People,
}

impl Right {
    /// What it is to do so, to be put after "may not".
    pub fn words(self) -> &'static str {
        match self {
            Self::Alerts => "see alerts",
            Self::Reads => "see reads",
            Self::Entries => "change entries",
            Self::Export => "export the journal",
            Self::Audit => "read the audit chain",
            Self::Upkeep => "purge or lock the journal",
            Self::Settings => "change settings",
            Self::People => "say who may sign on",
        }
    }
}

/// Who may do what, where people are set up.
const TABLE: [(Right, [bool; 4]); 8] = [
    // nobody signed on, crew, supervisor, technician
    // A car must not go blind because nobody has signed on: alerts are for whoever is in it.
    (Right::Alerts, [true, true, true, false]),
    (Right::Reads, [false, true, true, false]),
    (Right::Entries, [false, true, true, false]),
    (Right::Export, [false, true, true, false]),
    (Right::Audit, [false, false, true, false]),
    (Right::Upkeep, [false, false, true, true]),
    (Right::Settings, [true, true, true, true]),
    (Right::People, [false, false, true, false]),
];

/// Whether somebody with this role (`None`: nobody has signed on) may do so, in a car where people are set up.
pub fn may(role: Option<Role>, right: Right) -> bool {
    let column = role.map_or(0, |role| role as usize);
    TABLE.iter().any(|(of, columns)| *of == right && columns[column])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_technician_sees_no_read_and_nobody_but_alerts_is_for_nobody() {
        let reading = [Right::Alerts, Right::Reads, Right::Entries, Right::Export, Right::Audit];
        assert!(reading.iter().all(|right| !may(Some(Role::Technician), *right)));
        let of_nobody: Vec<Right> = TABLE.iter().map(|(right, _)| *right).filter(|right| may(None, *right)).collect();
        assert_eq!(of_nobody, [Right::Alerts, Right::Settings]);
        assert!(TABLE.iter().all(|(right, _)| may(Some(Role::Supervisor), *right)));
        assert!(!may(Some(Role::Crew), Right::People) && !may(Some(Role::Technician), Right::People));
    }
}
