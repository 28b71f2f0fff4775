//! wakelog's producers: its client for services.

use wakelog_ws::client::{Client, EmitError, Emitted};
use wakelog_ws::{Outgoing, Payload};

use super::{Answer, Draft, Line};

impl Line for Client {
    async fn emit(&self, draft: &Draft) -> Answer {
        let text = Payload::text(draft.text.as_str());
        let mut event = Outgoing::to(draft.topics[0].as_str(), text).id(&draft.id);
        for topic in &draft.topics[1..] {
            event = event.also_to(topic);
        }
        for identity in &draft.not_to {
            event = event.not_to(identity);
        }
        match Self::emit(self, event).await {
            Ok(Emitted::Stored(position)) => Answer::Stored(position.offset - 1),
            Ok(_) => Answer::None("a reply".to_owned()),
            Err(EmitError::Ended(_)) => Answer::Ended,
            Err(error) => Answer::None(error.to_string()),
        }
    }
}
