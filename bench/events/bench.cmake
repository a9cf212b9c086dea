nostril_bench(events/canonical)
nostril_bench(events/parse)
nostril_bench(events/session)
nostril_bench(events/negentropy)
