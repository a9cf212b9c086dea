nostril_bench(relay/import)
nostril_bench(relay/query)
nostril_bench(relay/steps)
nostril_bench(relay/store)

# The parts of the load client; tests/bench checks those that judge.
set(load relay/load)
add_library(nostril_bench STATIC
  ${load}/answers.cpp ${load}/asking.cpp ${load}/connections.cpp ${load}/corpus.cpp ${load}/deliveries.cpp
  ${load}/drafts.cpp ${load}/fanout.cpp ${load}/filters.cpp ${load}/floors.cpp ${load}/idle.cpp ${load}/ingest.cpp
  ${load}/mixed.cpp ${load}/offline.cpp ${load}/progress.cpp ${load}/publications.cpp ${load}/publish.cpp ${load}/query.cpp
  ${load}/question.cpp ${load}/relay_line.cpp ${load}/rpc.cpp ${load}/samples.cpp ${load}/server_process.cpp
  ${load}/target.cpp)
target_link_libraries(nostril_bench PUBLIC nostril_events nostril_net nostril_relay fmt::fmt)

# Loads running relays: node bench/bench.mjs relay starts ours and this.
add_executable(nostril-bench-relay relay/load_client.cpp)
target_link_libraries(nostril-bench-relay PRIVATE nostril_bench)
target_compile_definitions(nostril-bench-relay PRIVATE NOSTRIL_BENCH_CACHE="${PROJECT_SOURCE_DIR}/build/bench")

# Two stores' events for node bench/bench.mjs sync.
add_executable(nostril-bench-sync-events relay/sync_events.cpp)
target_link_libraries(nostril-bench-sync-events PRIVATE nostril_events)
