// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Moves ether (token 0) and ERC-20 tokens in and out of this contract. What a token answers counts for
/// nothing: some return nothing, some return false after they have paid. Our own balance decides.
/// The callers hold the guard against re-entrance.
library Assets {
    error WrongValue();
    error NothingArrived();
    error TransferFailed();
    /// No contract, or none that tells balances.
    error NoToken();
    /// Another amount than asked for left: it would be taken from other people's money.
    error WrongAmountLeft();

    /// What arrived, at most `amount`; less with tokens that keep a fee. Never zero.
    function pull(address token, address from, uint256 amount) internal returns (uint256 arrived) {
        if (token == address(0)) {
            if (msg.value != amount || amount == 0) revert WrongValue();
            return amount;
        }
        if (msg.value != 0) revert WrongValue();
        uint256 before = balanceOf(token);
        bool ok;
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, shl(224, 0x23b872dd)) // transferFrom(address,address,uint256)
            mstore(add(m, 4), from)
            mstore(add(m, 36), address())
            mstore(add(m, 68), amount)
            ok := call(gas(), token, 0, m, 100, 0, 0)
        }
        if (!ok) revert TransferFailed();
        arrived = balanceOf(token) - before;
        if (arrived > amount) arrived = amount;
        if (arrived == 0) revert NothingArrived();
    }

    /// False: nothing has left. True: exactly `amount` has.
    function push(address token, address to, uint256 amount) internal returns (bool ok) {
        if (token == address(0)) {
            assembly ("memory-safe") { ok := call(gas(), to, amount, 0, 0, 0, 0) }
            return ok;
        }
        uint256 before = balanceOf(token);
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, shl(224, 0xa9059cbb)) // transfer(address,uint256)
            mstore(add(m, 4), to)
            mstore(add(m, 36), amount)
            pop(call(gas(), token, 0, m, 68, 0, 0))
        }
        uint256 left = before - balanceOf(token);
        if (left == amount) return true;
        if (left != 0) revert WrongAmountLeft();
        return false;
    }

    /// Ours.
    function balanceOf(address token) private view returns (uint256 has) {
        bool ok;
        assembly ("memory-safe") {
            mstore(0, shl(224, 0x70a08231)) // balanceOf(address)
            mstore(4, address())
            ok := and(gt(returndatasize(), 31), staticcall(gas(), token, 0, 36, 0, 32))
            has := mload(0)
        }
        if (!ok) revert NoToken();
    }
}
