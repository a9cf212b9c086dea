nostril_test(events/amount)
nostril_test(events/coalescer)
nostril_test(events/inference)
nostril_test(events/session_pair)
nostril_test(events/session_vectors USES settlement)
# Writes spec/vectors/session.json to its standard output.
add_executable(make_session_vectors EXCLUDE_FROM_ALL events/make_session_vectors.cpp)
target_link_libraries(make_session_vectors PRIVATE nostril_settlement GTest::gtest)
nostril_test(events/event)
