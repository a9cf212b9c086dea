// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// BIP-340 verification through the `ecrecover` precompile. spec/12-contract.md, "Signature".
///
/// A signature (rx, s) of key P = (px, even y) holds iff R = s*G - e*P has x = rx and an even y, where
/// e = sha256(T || T || rx || px || m) mod n. ecrecover(h, v, r, t) gives the address of
/// r^-1 * (t*X - h*G), X being the point with x = r. With X = P, r = px, t = -e*px, h = -s*px that is
/// the address of R, to be compared with the address of (rx, ry).
///
/// `ry` is the caller's. It must be checked to be on the curve: it is not part of e, so a free ry would
/// let a forger search two independent lists for equal addresses, in 2^80 steps instead of 2^160.
library Bip340 {
    uint256 internal constant P = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F;
    uint256 internal constant N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    /// sha256("BIP0340/challenge")
    uint256 internal constant TAG = 0x7bb52d7a9fef58323eb1bf7a407db382d2f3f2d81bb1224f49fe518f6d48d37c;

    /// Exactly BIP-340 for a message of 32 bytes, but for keys with px >= n (one in 2^128) and challenges of
    /// zero: refused. ry: the even y of rx.
    function verify(uint256 px, bytes32 message, uint256 rx, uint256 s, uint256 ry) internal view returns (bool) {
        return verifyChallenge(px, challenge(px, message, rx), rx, s, ry);
    }

    function challenge(uint256 px, bytes32 message, uint256 rx) internal view returns (uint256 e) {
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, TAG)
            mstore(add(m, 32), TAG)
            mstore(add(m, 64), rx)
            mstore(add(m, 96), px)
            mstore(add(m, 128), message)
            if iszero(staticcall(gas(), 2, m, 160, 0, 32)) { revert(0, 0) }
            e := mload(0)
        }
    }

    /// The same for a challenge computed by the caller; mulmod reduces it mod n.
    function verifyChallenge(uint256 px, uint256 e, uint256 rx, uint256 s, uint256 ry)
        internal
        view
        returns (bool ok)
    {
        ok = isEvenPoint(rx, ry) && s < N;
        assembly ("memory-safe") {
            if ok {
                let m := mload(0x40)
                mstore(m, sub(N, mulmod(s, px, N)))
                mstore(add(m, 32), 27)
                mstore(add(m, 64), px)
                mstore(add(m, 96), sub(N, mulmod(e, px, N)))
                // A failing ecrecover writes nothing: what is there before must not pass for an answer.
                mstore(0, 0)
                pop(staticcall(gas(), 1, m, 128, 0, 32))
                let recovered := mload(0)
                mstore(0, rx)
                mstore(32, ry)
                let wanted := and(keccak256(0, 64), 0xffffffffffffffffffffffffffffffffffffffff)
                ok := and(eq(recovered, wanted), iszero(iszero(recovered)))
            }
        }
    }

    /// x < p, y < p, y even, y^2 = x^3 + 7.
    function isEvenPoint(uint256 x, uint256 y) internal pure returns (bool ok) {
        assembly ("memory-safe") {
            ok :=
                and(
                    and(and(lt(x, P), lt(y, P)), iszero(and(y, 1))),
                    eq(mulmod(y, y, P), addmod(mulmod(mulmod(x, x, P), x, P), 7, P))
                )
        }
    }
}
