//! What `state` tells is what was so at some moment of its reading, whoever acts meanwhile.
//!
//! It reads a record, locks, a fifo and `/proc`, one after the other, while others change them.
//! Each request is walked beside it, with a death anywhere, and so are, without one, `start` and
//! `kill` together on a created container; with `COFFERDAM_TRIPLES=all` all pairs of requests on
//! every container, which takes hours.

mod pinned;
mod shared;

use cofferdam::backend::fake::Profile;
use cofferdam::testing::lifecycle::{Before, ID, Judge, ROOT, Request, try_set};
use cofferdam::testing::{Count, End, Moment, Scene, oracles};

use pinned::pinned;
use shared::shared;

/// Fails if somebody was told what was so at no moment.
fn readings(moment: &Moment<'_, '_>) -> Result<(), String> {
    for ((name, end), held) in moment.clients().zip(moment.during()) {
        if let (true, Some(End::Told(told))) = (name == Request::State.name(), end) {
            oracles::reading(told, held)?;
        }
    }
    Ok(())
}

/// Walks `state` beside others, somebody of whom may be killed anywhere if there is but one;
/// nothing where no container can be like that before.
fn walk(before: Before, others: &[Request], profile: &Profile) -> Count {
    let Ok(world) = try_set(before, profile) else { return Count::default() };
    let deaths = u8::from(others.len() == 1);
    let holding = |world: &_| oracles::holding(world, ROOT, ID);
    let mut scene = Scene::new(world).deaths(deaths).during(holding);
    for request in others.iter().chain([&Request::State]) {
        scene = scene.client(request.name(), request.body_on(profile));
    }
    let mut ends = Judge::new(profile);
    let count = scene.walk(&mut |moment| {
        readings(moment)?;
        ends.ask(moment)
    });
    count.unwrap_or_else(|failure| panic!("{before}, {failure}"))
}

/// Walks them all, as many at once as there are processors, and tells of it by that name.
fn all(what: &str, walks: &[(Before, Vec<Request>, Profile)]) -> Count {
    let counts = shared(walks, |walks| -> Count {
        walks.map(|(before, others, profile)| walk(*before, others, profile)).sum()
    });
    let all: Count = counts.into_iter().sum();
    let Count { states, transitions, ends, .. } = all;
    println!(
        "figure: explored: {what} | {} walks, {states} states, {transitions} \
         transitions, {ends} ends, 0 oracle failures",
        walks.len()
    );
    all
}

/// Every kernel, everything that a container can be before, and so many others at once.
fn walks(others: &[Vec<Request>]) -> Vec<(Before, Vec<Request>, Profile)> {
    let mut walks = Vec::new();
    for (_, profile) in Profile::NAMED {
        for before in Before::ALL {
            walks.extend(others.iter().map(|others| (before, others.clone(), profile())));
        }
    }
    walks
}

#[test]
fn what_is_told_was_so_whoever_acts_meanwhile() {
    let others: Vec<_> = Request::ALL.iter().map(|request| vec![*request]).collect();
    let expected = Count { ends: 129_938, states: 1_119_157, transitions: 2_141_816, cut: 0 };
    pinned(
        all("a reader beside each request, one death anywhere, nine kernels", &walks(&others)),
        expected,
    );
}

#[test]
fn what_is_told_was_so_whichever_two_act_meanwhile() {
    let requests = || Request::ALL.iter().enumerate();
    let pairs: Vec<_> = requests()
        .flat_map(|(at, a)| Request::ALL[at..].iter().map(move |b| vec![*a, *b]))
        .collect();
    let walks = walks(&pairs);
    if std::env::var("COFFERDAM_TRIPLES").is_ok_and(|which| which == "all") {
        all("a reader beside all pairs of requests, nine kernels", &walks);
        return;
    }
    let some: Vec<_> = walks
        .into_iter()
        .filter(|(before, others, _)| {
            *before == Before::Created && *others == [Request::Start, Request::Kill]
        })
        .collect();
    let what = "a reader beside start and kill on a created container, nine kernels";
    let expected = Count { ends: 17_144, states: 791_735, transitions: 2_053_848, cut: 0 };
    pinned(all(what, &some), expected);
}
