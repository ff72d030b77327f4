use serde::{Deserialize, Serialize};

use super::Polled;

/// How many records a window remembers.
const MOST_REMEMBERED: usize = 500;
/// How many bytes of JSON they may take: a server keeps cursors of up to 64 KiB, and a page's name has to fit in, too.
const MOST_BYTES: usize = 48 << 10;
/// What JSON adds to an id, in bytes: its time, quotes, brackets and commas.
const AROUND_ID: usize = 24;

/// A cursor for apps whose records have a time, and which are asked for the records from a time on, page by page.
///
/// Records of the same time are all told, also where they come one by one; and what an app shows late is told, too, if
/// it is not later than a trigger looks back. For that the window remembers what it told of the time it looks back on.
///
/// ```
/// # use headgate_sdk::polling::{Found, Window};
/// // It begins after what is there: one record at the time 1,000.
/// let window = Window::starting_at(1_000, ["a"]);
/// // Asked for the records from `window.from()` on, the app shows that one, and two more.
/// let found = ["a", "b", "c"].map(|id| Found { id: id.into(), millis: 1_000, data: () });
/// let polled = window.take(found, None, 60_000);
/// assert_eq!(polled.records.iter().map(|record| &record.id[..]).collect::<Vec<_>>(), ["b", "c"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// What is older is not new.
    floor: i64,
    /// From when on records are asked for.
    from: i64,
    /// The newest record so far.
    newest: i64,
    /// The page to ask for, while one is left over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page: Option<String>,
    /// What was told already, oldest first.
    told: Vec<(i64, String)>,
    /// The newest record that was told and is not remembered any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forgotten: Option<i64>,
    /// When the first of the pages that are being asked for was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<i64>,
}

/// A record as the app answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<R> {
    /// Its id, as in [`Record`](super::Record).
    pub id: String,
    /// Its time in milliseconds since 1970; see [`millis`](super::millis).
    pub millis: i64,
    /// The event's body.
    pub data: R,
}

impl Window {
    /// Begins at a time, in milliseconds since 1970; `there` are the ids of the records of that time that are not new.
    pub fn starting_at<I: Into<String>>(millis: i64, there: impl IntoIterator<Item = I>) -> Self {
        let told = there.into_iter().map(|id| (millis, id.into())).collect();
        Self { floor: millis, from: millis, newest: millis, page: None, told, forgotten: None, began: None }
    }

    /// From when on records are to be asked for, in milliseconds since 1970. It stays while there are pages.
    pub fn from(&self) -> i64 {
        self.from
    }

    /// The newest record so far, in milliseconds since 1970.
    pub fn newest(&self) -> i64 {
        self.newest
    }

    /// Which page is to be asked for, as the app named it; none for the first.
    pub fn page(&self) -> Option<&str> {
        self.page.as_deref()
    }

    /// The same window from its first page on, for apps that do not know a page any more.
    #[must_use]
    pub fn restart(mut self) -> Self {
        self.page = None;
        self
    }

    /// Takes one page of what was found, and answers what of it is new, oldest first. `next` is how the app names the
    /// page after it, and `look_back` how long before the newest record the app may still show others, in milliseconds.
    pub fn take<R>(
        self,
        found: impl IntoIterator<Item = Found<R>>,
        next: Option<String>,
        look_back: i64,
    ) -> Polled<R, Self> {
        self.take_at(super::now(), found, next, look_back)
    }

    fn take_at<R>(
        mut self,
        now: i64,
        found: impl IntoIterator<Item = Found<R>>,
        next: Option<String>,
        look_back: i64,
    ) -> Polled<R, Self> {
        if self.page.is_none() {
            self.began = Some(now);
        }
        let mut new: Vec<Found<R>> = Vec::new();
        for record in found {
            let told = self.told.iter().any(|(_, id)| *id == record.id) || new.iter().any(|new| new.id == record.id);
            if record.millis >= self.floor && !told {
                new.push(record);
            }
        }
        new.sort_by_key(|record| record.millis);
        for record in &new {
            self.newest = self.newest.max(record.millis);
            self.told.push((record.millis, record.id.clone()));
        }
        self.told.sort_by_key(|(millis, _)| *millis);
        let mut bytes = 0;
        let fitting = self.told.iter().rev().take(MOST_REMEMBERED).take_while(|(_, id)| {
            bytes += id.len() + AROUND_ID;
            bytes <= MOST_BYTES
        });
        let beyond = self.told.len() - fitting.count();
        for (millis, _) in self.told.drain(..beyond) {
            self.forgotten = self.forgotten.max(Some(millis));
        }
        self.page = next;
        if self.page.is_none() {
            // It looks back no further than it remembers. What was forgotten of that very time is told once more, and
            // the server knows it by its id: better than to lose what else there may be of that time. There is nothing
            // else where these pages were begun when the app showed all of that time.
            let shown = self.began.map_or(i64::MIN, |began| began.saturating_sub(look_back));
            let remembered = self.forgotten.map_or(i64::MIN, |time| if time < shown { time + 1 } else { time });
            self.from = self.newest.saturating_sub(look_back).max(self.floor).max(remembered);
            self.told.retain(|(millis, _)| *millis >= self.from);
        }
        let more = self.page.is_some();
        Polled::new(self).records(new.into_iter().map(|record| (record.id, record.data))).more(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [&str; 0] = [];

    /// An app: of its records it shows a page from a time on, ordered by time.
    fn ask(records: &[(&str, i64)], window: &Window, size: usize) -> (Vec<Found<()>>, Option<String>) {
        let mut found: Vec<_> = records.iter().filter(|(_, millis)| *millis >= window.from()).collect();
        found.sort_by_key(|(_, millis)| *millis);
        let begin: usize = window.page().map_or(0, |page| page.parse().unwrap());
        let end = (begin + size).min(found.len());
        let next = (end < found.len()).then(|| end.to_string());
        let page = found[begin..end].iter().map(|(id, millis)| Found { id: (*id).into(), millis: *millis, data: () });
        (page.collect(), next)
    }

    /// Polls at a time until there is no more; answers the ids told.
    fn poll_at(now: i64, records: &[(&str, i64)], mut window: Window, size: usize) -> (Vec<String>, Window) {
        let mut told = Vec::new();
        loop {
            let (found, next) = ask(records, &window, size);
            let polled = window.take_at(now, found, next, 10);
            told.extend(polled.records.into_iter().map(|record| record.id));
            // A cursor travels as JSON.
            window = serde_json::from_str(&serde_json::to_string(&polled.cursor).unwrap()).unwrap();
            if !polled.more {
                return (told, window);
            }
        }
    }

    fn poll(records: &[(&str, i64)], window: Window, size: usize) -> (Vec<String>, Window) {
        poll_at(0, records, window, size)
    }

    #[test]
    fn ties_pages_and_late_records_are_told_once() {
        let mut app = vec![("older", 90), ("old", 100)];
        let (told, window) = poll(&app, Window::starting_at(100, ["old"]), 2);
        assert_eq!(told, NOTHING);

        app.extend([("tie", 100), ("b", 105), ("c", 105), ("d", 105), ("e", 120)]);
        let (told, window) = poll(&app, window, 2);
        assert_eq!(told, ["tie", "b", "c", "d", "e"]);

        // One more of the newest time; one that the app shows late; one that is older than where it began.
        app.extend([("f", 120), ("late", 112), ("before", 99)]);
        let (told, window) = poll(&app, window, 2);
        assert_eq!(told, ["late", "f"]);
        // Later than it looks back.
        app.push(("too late", 109));
        assert_eq!(poll(&app, window, 2).0, NOTHING);
    }

    #[test]
    fn a_page_that_is_gone_is_begun_again() {
        let app = [("a", 1), ("b", 2), ("c", 3)];
        let window = Window::starting_at(0, NOTHING);
        let (found, next) = ask(&app, &window, 2);
        let polled = window.take(found, next, 10);
        assert_eq!((polled.records.len(), polled.cursor.page()), (2, Some("2")));
        assert_eq!(poll(&app, polled.cursor.restart(), 2).0, ["c"]);
    }

    #[test]
    fn a_cursor_is_never_larger_than_a_server_keeps() {
        // As long as Notion's, and much longer.
        for length in [61, 500] {
            let mut window = Window::starting_at(0, NOTHING);
            for page in 0..20 {
                let time = 1_767_225_600_000;
                let id = |number: usize| format!("{:0>length$}", page * 100 + number);
                let found = (0..100).map(|number| Found { id: id(number), millis: time, data: () });
                window = window.take(found, Some("n".repeat(1_000)), 10).cursor;
                assert!(serde_json::to_string(&window).unwrap().len() < 64 << 10);
            }
            assert_eq!(window.told.len(), if length == 61 { MOST_REMEMBERED } else { MOST_BYTES / (500 + AROUND_ID) });
        }
    }

    #[test]
    fn its_memory_is_bounded_and_loses_nothing() {
        let names: Vec<String> = (0..2_000).map(|number| format!("r{number}")).collect();
        let mut app: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 7)).collect();
        let (mut told, window) = poll(&app, Window::starting_at(0, NOTHING), 100);
        told.sort();
        told.dedup();
        assert_eq!(told.len(), 2_000);
        // What it forgot of the newest time it tells again, together with what is new.
        app.push(("new", 7));
        let (told, window) = poll_at(17, &app, window, 100);
        assert!(told.contains(&"new".to_owned()));
        // When the app shows no more of that time, it is told for the last time.
        app.push(("late", 7));
        let (told, window) = poll_at(18, &app, window, 100);
        assert!(told.contains(&"late".to_owned()));
        app.push(("next", 8));
        let (told, window) = poll_at(19, &app, window, 100);
        assert_eq!((told, window.from()), (vec!["next".to_owned()], 8));
        assert_eq!(poll_at(20, &app, window, 100).0, NOTHING);
    }

    #[test]
    fn a_time_is_left_only_by_pages_begun_when_the_app_showed_all_of_it() {
        let names: Vec<String> = (0..600).map(|number| format!("r{number}")).collect();
        let app: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 7)).collect();
        // The first page is asked for in time for a late record to be missed, the last one long after.
        let mut window = Window::starting_at(0, NOTHING);
        for now in [8, 1_000] {
            let (found, next) = ask(&app, &window, 300);
            window = window.take_at(now, found, next, 10).cursor;
        }
        assert_eq!((window.page(), window.from()), (None, 7));
        assert_eq!(poll_at(1_000, &app, window, 300).1.from(), 8);
    }
}
