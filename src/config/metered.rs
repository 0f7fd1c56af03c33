//! Networks that cost money by the byte: which they are, and what may be spent on them a day.

use serde::Deserialize;

/// The longest name of a network interface that Linux knows, bytes.
const LONGEST_NAME: usize = 15;
/// The most that a budget can be, megabytes: a terabyte a day is none.
const MOST_MB: u32 = 1_000_000;
/// What a megabyte is to whoever sends the bill, bytes.
const MB: u64 = 1_000_000;

/// Which networks cost money by the byte, and what may be spent on them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Metered {
    interfaces: Vec<String>,
    budgets: Budgets,
}

/// What may be spent on metered networks in one day of UTC, a budget for each kind of what can wait, megabytes of 1,000,000
/// bytes. 0: none of it goes over such a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Pictures of reads without a hit.
    pub pictures_mb: u32,
    /// Pictures of reads with a hit.
    pub hit_pictures_mb: u32,
    /// Whole lists, as they come: packed.
    pub lists_mb: u32,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { pictures_mb: 50, hit_pictures_mb: 200, lists_mb: 100 }
    }
}

impl Budgets {
    /// Whether each is within its bounds; says which is not.
    ///
    /// # Errors
    /// For people: the name of the field, what it is, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let named =
            [("pictures_mb", self.pictures_mb), ("hit_pictures_mb", self.hit_pictures_mb), ("lists_mb", self.lists_mb)];
        match named.into_iter().find(|(_, mb)| *mb > MOST_MB) {
            Some((name, mb)) => Err(format!("{name} is {mb}, must be 0 to {MOST_MB} megabytes a day")),
            None => Ok(()),
        }
    }

    /// Pictures, pictures of hits, whole lists: bytes a day.
    pub(crate) fn bytes(&self) -> [u64; 3] {
        [self.pictures_mb, self.hit_pictures_mb, self.lists_mb].map(|mb| u64::from(mb) * MB)
    }
}

impl Metered {
    /// Networks by the names of their interfaces, `*` at the end for any that begin so.
    ///
    /// # Errors
    /// For people: a name that no interface can have, none at all, or a budget out of its bounds.
    pub fn new(interfaces: Vec<String>, budgets: Budgets) -> Result<Self, String> {
        if interfaces.is_empty() {
            return Err(
                "interfaces under [office.metered] is empty: name those that cost money, or leave the section out"
                    .into(),
            );
        }
        if let Some(name) = interfaces.iter().find(|name| !is_name(name)) {
            return Err(format!(
                "{name:?} under [office.metered] is no name of a network interface: 1 to {LONGEST_NAME} characters without space \
                 or '/', as `ip link` shows them, with * at the end only"
            ));
        }
        budgets.check()?;
        Ok(Self { interfaces, budgets })
    }

    /// Whether an interface of this name is one of them.
    pub fn covers(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => interface.starts_with(start),
            None => interface == name,
        })
    }

    /// The names as they were given.
    pub fn interfaces(&self) -> &[String] {
        &self.interfaces
    }

    /// What may be spent.
    pub fn budgets(&self) -> Budgets {
        self.budgets
    }
}

fn is_name(name: &str) -> bool {
    let plain = name.strip_suffix('*').unwrap_or(name);
    (1..=LONGEST_NAME).contains(&name.len())
        && !plain.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '*'))
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    interfaces: Vec<String>,
    pictures_mb: Option<u32>,
    hit_pictures_mb: Option<u32>,
    lists_mb: Option<u32>,
}

impl TryFrom<Written> for Metered {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let usual = Budgets::default();
        let budgets = Budgets {
            pictures_mb: written.pictures_mb.unwrap_or(usual.pictures_mb),
            hit_pictures_mb: written.hit_pictures_mb.unwrap_or(usual.hit_pictures_mb),
            lists_mb: written.lists_mb.unwrap_or(usual.lists_mb),
        };
        Self::new(written.interfaces, budgets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(section: &str) -> Result<Option<Metered>, String> {
        let text = format!(
            "unit = \"EX-01\"\ndata = \"data\"\n[[camera]]\nname = \"front\"\nsource = {{ device = \"/dev/video0\" }}\n\
             [office]\naddress = \"office:4433\"\nidentity = \"id\"\n{section}"
        );
        Ok(Config::parse(&text)?.office.expect("an office").metered)
    }

    #[test]
    fn interfaces_are_known_by_name_or_by_how_they_begin() {
        let metered = parse("[office.metered]\ninterfaces = [\"wwan0\", \"ppp*\"]\n").expect("valid").expect("there");
        assert_eq!(metered.budgets(), Budgets::default());
        for (name, covered) in
            [("wwan0", true), ("wwan01", false), ("ppp", true), ("ppp12", true), ("wlan0", false), ("", false)]
        {
            assert_eq!(metered.covers(name), covered, "{name}");
        }
        assert!(Metered::new(vec!["*".into()], Budgets::default()).expect("valid").covers("eth0"));
        assert_eq!(parse(""), Ok(None), "nothing is metered that is not named");
    }

    #[test]
    fn budgets_are_megabytes_as_bills_have_them_and_none_at_all_is_one() {
        let section =
            "[office.metered]\ninterfaces = [\"wwan0\"]\npictures_mb = 0\nhit_pictures_mb = 7\nlists_mb = 1000000\n";
        let budgets = parse(section).expect("valid").expect("there").budgets();
        assert_eq!(budgets.bytes(), [0, 7_000_000, 1_000_000_000_000]);
    }

    #[test]
    fn nonsense_is_refused_with_its_name() {
        for (lines, named) in [
            ("", "interfaces"),
            ("interfaces = []\n", "is empty"),
            ("interfaces = [\"\"]\n", "\"\" under [office.metered]"),
            ("interfaces = [\"*wan\"]\n", "* at the end only"),
            ("interfaces = [\"ww an\"]\n", "no name of a network interface"),
            ("interfaces = [\"net/wwan0\"]\n", "no name of a network interface"),
            ("interfaces = [\"an-interface-too-long\"]\n", "1 to 15 characters"),
            ("interfaces = \"wwan0\"\n", "interfaces"),
            ("interfaces = [\"wwan0\"]\npictures_mb = 1000001\n", "pictures_mb is 1000001, must be 0 to 1000000"),
            ("interfaces = [\"wwan0\"]\nhit_pictures_mb = -1\n", "hit_pictures_mb"),
            ("interfaces = [\"wwan0\"]\nlists_mb = 1.5\n", "lists_mb"),
            ("interfaces = [\"wwan0\"]\nhits_mb = 5\n", "hits_mb"),
        ] {
            let why = parse(&format!("[office.metered]\n{lines}")).expect_err(lines);
            assert!(why.contains(named), "{lines}: {why}");
        }
    }
}
