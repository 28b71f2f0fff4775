//! What a read-only log takes over from the process that writes.

use super::{Shared, unpark};
use crate::notify::Sleeper;
use crate::recovery::{Follower, News};
use std::io;
use std::sync::Arc;

impl Shared {
    pub(crate) fn set_follower(&self, follower: Follower) {
        *self.follower.lock() = Some(follower);
    }

    /// Looks once for what the writer did.
    pub(crate) fn follow_once(&self) -> io::Result<()> {
        let mut follower = self.follower.lock();
        let Some(follower) = follower.as_mut() else {
            return Ok(());
        };
        let mut news = News::default();
        let polled = follower.poll(&mut news);
        self.take_news(news);
        polled
    }

    fn take_news(&self, news: News) {
        for segment in news.segments {
            self.enter_segment(segment);
        }
        if let Some(history) = news.history {
            *self.history.lock() = Arc::new(history);
            self.marks.next_generation();
        }
        if news.first > self.marks.first() {
            self.forget_below(news.first);
        }
        let mut asleep = false;
        if let Some(next) = news.next.filter(|next| *next != self.marks.next()) {
            asleep |= self.marks.visible.publish(next).has(Sleeper::DISPATCHER);
        }
        if news.durable > self.marks.durable() {
            asleep |= self
                .marks
                .durable
                .publish(news.durable)
                .has(Sleeper::DISPATCHER);
        }
        if asleep {
            unpark(&self.signals.dispatcher);
        }
    }
}
