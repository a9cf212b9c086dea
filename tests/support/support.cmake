# Peers of a test on its own loop: a relay, an engine, a node, a client. USES test_world.
include_guard(GLOBAL)
add_library(nostril_test_world STATIC support/scripted_engine.cpp support/test_relay.cpp support/world.cpp)
target_link_libraries(nostril_test_world PUBLIC nostril_node GTest::gtest)
