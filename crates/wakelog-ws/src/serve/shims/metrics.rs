//! The numbers of a hub for the recorder of the crate `metrics`.

use crate::serve::stats::HubStats;

impl HubStats {
    /// Gives the numbers to the recorder of the crate `metrics`, under names that begin with
    /// `wakelog_ws_`. To be called every few seconds, or before the recorder is asked.
    pub fn record(&self) {
        let float = |number| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        metrics::gauge!("wakelog_ws_connections").set(float(self.connections));
        metrics::gauge!("wakelog_ws_sessions").set(float(self.sessions));
        metrics::counter!("wakelog_ws_events_total").absolute(self.events);
        metrics::counter!("wakelog_ws_event_bytes_total").absolute(self.event_bytes);
        metrics::counter!("wakelog_ws_publishes_total").absolute(self.publishes);
        metrics::counter!("wakelog_ws_fenced_total").absolute(self.fenced);
        metrics::counter!("wakelog_ws_drained_total").absolute(self.drained);
        metrics::counter!("wakelog_ws_stalled_total").absolute(self.stalled);
        for (code, count) in &self.refusals {
            let counter = metrics::counter!("wakelog_ws_refusals_total", "code" => code.clone());
            counter.absolute(*count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
    use parking_lot::Mutex;
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// What was recorded, by name and labels: of gauges the bits of a float.
    #[derive(Default)]
    struct Recorder(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

    impl Recorder {
        fn place_of(&self, key: &Key) -> Arc<AtomicU64> {
            let labels = key.labels();
            let labels = labels.map(|label| format!(" {}={}", label.key(), label.value()));
            let name = key.name().to_owned() + &labels.collect::<String>();
            Arc::clone(self.0.lock().entry(name).or_default())
        }
    }

    impl metrics::Recorder for Recorder {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.place_of(key))
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.place_of(key))
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            panic!("there is none");
        }
    }

    #[test]
    fn each_number_is_recorded_under_its_name_as_it_is_now() {
        let mut stats = HubStats {
            connections: 1,
            sessions: 2,
            events: 3,
            event_bytes: 4,
            publishes: 5,
            fenced: 6,
            drained: 7,
            stalled: 8,
            refusals: BTreeMap::new(),
        };
        let recorder = Recorder::default();
        for _ in 0..2 {
            stats.events += 10;
            stats.refuse("forbidden");
            stats.refuse("http_403");
            stats.refuse("forbidden");
            metrics::with_local_recorder(&recorder, || stats.record());
        }
        let recorded = recorder.0.lock();
        let number = |(name, place): (&String, &Arc<AtomicU64>)| {
            (name.clone(), place.load(Ordering::Relaxed))
        };
        let recorded: Vec<_> = recorded.iter().map(number).collect();
        let expected = [
            ("connections", 1_f64.to_bits()),
            ("drained_total", 7),
            ("event_bytes_total", 4),
            ("events_total", 23),
            ("fenced_total", 6),
            ("publishes_total", 5),
            ("refusals_total code=forbidden", 4),
            ("refusals_total code=http_403", 2),
            ("sessions", 2_f64.to_bits()),
            ("stalled_total", 8),
        ];
        let expected = expected.map(|(name, number)| (format!("wakelog_ws_{name}"), number));
        assert_eq!(recorded, expected);
    }
}
