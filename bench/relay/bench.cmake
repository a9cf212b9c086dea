nostril_bench(relay/query)
nostril_bench(relay/steps)
nostril_bench(relay/store)

# Loads a running relay: node bench/bench.mjs relay starts both.
add_executable(nostril-bench-relay relay/load_client.cpp)
target_link_libraries(nostril-bench-relay PRIVATE nostril_events nostril_net)
