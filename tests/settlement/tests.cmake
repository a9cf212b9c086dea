nostril_test(settlement/price)
nostril_test(settlement/channel)
nostril_test(settlement/usage_limit)
