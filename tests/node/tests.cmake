include(support/support.cmake)
nostril_test(node/agent_answer USES test_world)
nostril_test(node/agent_fault USES test_world)
nostril_test(node/fail_closed USES test_world)
