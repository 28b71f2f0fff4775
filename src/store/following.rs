//! What a read-only log takes over from the process that writes.

use super::table::Table;
use super::{Level, Shared};
use crate::recovery::{self, Follower, News, Recovered};
use std::io;
use std::sync::Arc;

impl Shared {
    pub(crate) fn set_follower(&self, follower: Follower) {
        self.synced.noted(follower.durable_at());
        *self.follower.lock() = Some(follower);
    }

    /// Looks once for what the writer did. `false` on a log that follows nobody.
    pub(crate) fn follow_once(&self) -> io::Result<bool> {
        let mut following = self.follower.lock();
        let Some(follower) = following.as_mut() else {
            return Ok(false);
        };
        let mut news = News::default();
        let polled = follower.poll(&mut news);
        let was_cut = news.was_cut;
        self.take_news(news);
        polled?;
        if was_cut {
            let again =
                recovery::open_read_only(Arc::clone(&self.dir)).map_err(io::Error::other)?;
            *follower = again.follower;
            self.start_again(again.recovered);
        }
        Ok(true)
    }

    /// The writer has cut the log below what was shown here, or has trimmed all of it: everything
    /// is taken anew, and readers judge their places again.
    fn start_again(&self, found: Recovered) {
        let open_segments = self.options.open_segments_value();
        let first = found.bases.first().copied().unwrap_or(0);
        *self.table.lock() = Table::new(found.bases, found.active, open_segments);
        // The same file may hold something else now.
        self.indexes.clear();
        *self.history.lock() = Arc::new(found.history);
        self.marks.set_first(first);
        self.marks.next_generation();
        let _ = self.marks.durable.publish(found.durable.offset);
        let _ = self.marks.visible.publish(found.next);
        self.wake_everybody();
    }

    fn take_news(&self, news: News) {
        self.synced.noted(news.durable_at);
        for segment in news.segments {
            self.enter_segment(segment);
        }
        if let Some(history) = news.history {
            *self.history.lock() = Arc::new(history);
            self.marks.next_generation();
        }
        if news.first > self.marks.first() {
            drop(self.forget_below(news.first));
        }
        if let Some(next) = news.next.filter(|next| *next != self.marks.next()) {
            let asleep = self.marks.visible.publish(next);
            self.wake_readers(Level::Visible, asleep);
        }
        if news.durable > self.marks.durable() {
            let asleep = self.marks.durable.publish(news.durable);
            self.wake_readers(Level::Durable, asleep);
        }
    }
}
