include(support/support.cmake)
nostril_test(node/agent_answer USES test_world)
