//! The question whether something can happen at all.

use std::collections::HashSet;

use super::scene::{End, Moment};
use crate::backend::fake::History;

/// Fails where a client is answered, or tells in the end, what nobody expects.
///
/// Each answer is a line `create: mkdirat "/run/cofferdam/a" = EEXIST`, each end a line
/// `create: container exists`, and what is looked for is a part of one.
///
/// ```
/// use cofferdam::backend::fake::Profile;
/// use cofferdam::testing::lifecycle::{Before, Request, set};
/// use cofferdam::testing::{Never, Scene};
///
/// let scene = Scene::new(set(Before::Created, &Profile::default()));
/// let mut scene = scene.client("start", Request::Start.body());
/// let mut never = Never::new(["start: done"]);
/// let failure = scene.walk(&mut |moment| never.ask(moment)).unwrap_err();
/// assert_eq!(failure.what, "never: start: done");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Never {
    texts: Vec<String>,
    /// Where none of the texts was met.
    clean: HashSet<History>,
}

impl Never {
    /// Returns the question for some texts: none of them is expected.
    pub fn new<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        let texts = texts.into_iter().map(Into::into).collect();
        Self { texts, clean: HashSet::new() }
    }

    /// Asks in a state of a scene; each scene needs a question of its own.
    ///
    /// # Errors
    ///
    /// The line with one of the texts.
    pub fn ask(&mut self, moment: &Moment<'_, '_>) -> Result<(), String> {
        if self.texts.is_empty() {
            return Ok(());
        }
        let places = moment.scene.names().len();
        (0..places).try_for_each(|place| self.client(moment, place))
    }

    fn client(&mut self, moment: &Moment<'_, '_>, place: usize) -> Result<(), String> {
        let histories = &moment.scene.histories;
        let name = moment.scene.name(place);
        let mut at = moment.state.actors[place].at;
        if let Some(told) = histories.told(at) {
            self.line(&format!("{name}: {told}"))?;
        } else if moment.clients().nth(place).is_some_and(|(_, end)| end == Some(End::Killed)) {
            self.line(&format!("{name}: killed"))?;
        }
        let mut new = Vec::new();
        while !self.clean.contains(&at) {
            new.push(at);
            let Some((asked, before)) = histories.last(at) else { break };
            self.line(&format!("{name}: {asked}"))?;
            at = before;
        }
        self.clean.extend(new);
        Ok(())
    }

    fn line(&self, line: &str) -> Result<(), String> {
        if self.texts.iter().any(|text| line.contains(text.as_str())) {
            return Err(format!("never: {line}"));
        }
        Ok(())
    }
}
