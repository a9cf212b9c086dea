nostril_bench(events/canonical)
nostril_bench(events/parse)
