nostril_test(relay/record)
nostril_test(relay/store)
