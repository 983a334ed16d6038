//! Arguments, parsed as Go's `flag` package does, since that is what clients of runc write.
//!
//! | written | means |
//! |---|---|
//! | `--name value`, `--name=value` | the value |
//! | `-name value`, `-name=value` | the same: one dash is as good as two |
//! | `--switch`, `--switch=false` | on, off |
//! | `--` | no flag follows |
//! | `-` | an argument |

/// A flag of a command.
#[derive(Debug)]
pub(super) struct Flag {
    /// Its name, which is also what commands ask for it by.
    pub(super) name: &'static str,
    /// Its one-letter name; empty: it has none.
    pub(super) short: &'static str,
    /// What it takes.
    pub(super) takes: Takes,
    /// What it is for; empty: it is accepted and not shown.
    pub(super) about: &'static str,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing: it is there or not.
    Switch,
    /// A value; given several times, the commands say whether all count or the last one.
    Value,
}

/// Where flags may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Before, between and behind the arguments.
    Anywhere,
    /// Before the first argument: what follows it belongs to somebody else.
    First,
}

/// What was found among the arguments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    given: Vec<(&'static str, String)>,
    /// The arguments that are no flags.
    pub(super) rest: Vec<String>,
}

impl Parsed {
    /// No flag, and one argument.
    pub(super) fn argument_only(argument: String) -> Self {
        Self { given: Vec::new(), rest: vec![argument] }
    }

    /// Whether a switch is on.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }

    /// The last value that a flag was given.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.given.iter().rfind(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// Every value that a flag was given, in order.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.given.iter().filter(move |(given, _)| *given == name).map(|(_, v)| v.as_str())
    }

    /// The argument at that place; there are as many as the command's arity says.
    pub(super) fn argument(&self, at: usize) -> &str {
        self.rest.get(at).map_or("", String::as_str)
    }
}

/// Why arguments are not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Help was asked for.
    Help,
    /// They are wrong, in Go's words.
    Wrong(String),
}

/// Sorts arguments into flags and the rest.
pub(super) fn parse(flags: &[Flag], order: Order, args: &[String]) -> Result<Parsed, Fault> {
    let mut parsed = Parsed::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let Some(written) = arg.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            parsed.rest.push(arg.clone());
            match order {
                Order::Anywhere => continue,
                Order::First => break,
            }
        };
        if written == "-" {
            break;
        }
        let written = written.strip_prefix('-').unwrap_or(written);
        let (name, attached) = match written.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (written, None),
        };
        let flag = find(flags, name)?;
        let value = match (flag.takes, attached) {
            (Takes::Switch, None) => "true",
            (Takes::Switch, Some(value)) => switch(name, value)?,
            (Takes::Value, Some(value)) => value,
            (Takes::Value, None) => match args.next() {
                Some(value) => value,
                None => return Err(Fault::Wrong(format!("flag needs an argument: -{name}"))),
            },
        };
        parsed.given.push((flag.name, value.to_owned()));
    }
    parsed.rest.extend(args.cloned());
    Ok(parsed)
}

fn find<'f>(flags: &'f [Flag], name: &str) -> Result<&'f Flag, Fault> {
    let is = |flag: &&Flag| flag.name == name || (flag.short == name && !name.is_empty());
    match flags.iter().find(is) {
        Some(flag) => Ok(flag),
        None if name == "help" || name == "h" => Err(Fault::Help),
        None => Err(Fault::Wrong(format!("flag provided but not defined: -{name}"))),
    }
}

/// Reads a truth value as Go does.
fn switch(name: &str, value: &str) -> Result<&'static str, Fault> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok("true"),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok("false"),
        _ => Err(Fault::Wrong(format!("invalid boolean value {value:?} for -{name}: parse error"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag { name: "bundle", short: "b", takes: Takes::Value, about: "" },
        Flag { name: "env", short: "e", takes: Takes::Value, about: "" },
        Flag { name: "no-subreaper", short: "", takes: Takes::Switch, about: "" },
    ];

    fn parsed(order: Order, line: &str) -> Result<Parsed, Fault> {
        let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        parse(FLAGS, order, &args)
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        for line in ["--bundle=x", "-bundle=x", "--bundle x", "-bundle x", "-b x", "--b=x"] {
            let parsed = parsed(Order::Anywhere, line).expect(line);
            assert_eq!(parsed.value("bundle"), Some("x"), "{line}");
        }
        let parsed = parsed(Order::Anywhere, "-no-subreaper c1").expect("parsed");
        assert!(parsed.has("no-subreaper"));
        assert_eq!(parsed.rest, ["c1"]);
    }

    #[test]
    fn flags_stand_behind_arguments_unless_those_are_for_somebody_else() {
        let anywhere = parsed(Order::Anywhere, "c1 --bundle x").expect("parsed");
        assert_eq!((anywhere.value("bundle"), anywhere.rest.len()), (Some("x"), 1));
        let first = parsed(Order::First, "-e a=b c1 ls -b -- x").expect("parsed");
        assert_eq!(first.rest, ["c1", "ls", "-b", "--", "x"]);
        assert_eq!(first.value("env"), Some("a=b"));
    }

    #[test]
    fn two_dashes_end_the_flags_and_one_is_an_argument() {
        let parsed = parsed(Order::Anywhere, "- -b x -- -b y").expect("parsed");
        assert_eq!(parsed.rest, ["-", "-b", "y"]);
        assert_eq!(parsed.value("bundle"), Some("x"));
    }

    #[test]
    fn a_repeated_flag_keeps_every_value_and_a_comma_parts_none() {
        let parsed = parsed(Order::Anywhere, "-e a=1,2 -e b=3").expect("parsed");
        assert_eq!(parsed.values("env").collect::<Vec<_>>(), ["a=1,2", "b=3"]);
    }

    #[test]
    fn a_switch_takes_go_s_truth_values() {
        let off = parsed(Order::Anywhere, "--no-subreaper --no-subreaper=F").expect("parsed");
        assert!(!off.has("no-subreaper"));
        let wrong = parsed(Order::Anywhere, "--no-subreaper=maybe");
        let text = "invalid boolean value \"maybe\" for -no-subreaper: parse error";
        assert_eq!(wrong, Err(Fault::Wrong(text.to_owned())));
    }

    #[test]
    fn faults_are_told_in_the_words_of_go() {
        let wrong = |line| match parsed(Order::Anywhere, line) {
            Err(Fault::Wrong(text)) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(wrong("--bundle"), "flag needs an argument: -bundle");
        assert_eq!(wrong("-x"), "flag provided but not defined: -x");
        assert_eq!(wrong("---bundle x"), "flag provided but not defined: --bundle");
        assert_eq!(parsed(Order::Anywhere, "-h"), Err(Fault::Help));
        assert_eq!(parsed(Order::Anywhere, "--help"), Err(Fault::Help));
    }
}
