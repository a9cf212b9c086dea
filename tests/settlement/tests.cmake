nostril_test(settlement/price)
nostril_test(settlement/channel)
