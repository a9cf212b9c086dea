// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Ids of the two events that a payer signs, rebuilt from their fields: sha256 of the one NIP-01 text.
/// Nothing is parsed, so there is no second spelling to accept. spec/12-contract.md, "Events".
///
///   kind 1472  [0,"<pk>",<time>,1472,[["d","<channel>"],["amount","<c>"],["x","<hash>"]],""]
///   kind 1473  [0,"<pk>",<time>,1473,[["d","<channel>"],["amount","<c>"],["expiration","<time>"]],""]
///
/// Times must have 10 digits and amounts must be below 2^96: the caller's to check.
///
/// The text is written from right to left, because the amount has no fixed length: each mstore fills 32
/// bytes that end where the text written before begins, and what it spills to the left is overwritten next.
library EventId {
    uint256 private constant ZEROES = 0x3030303030303030303030303030303030303030303030303030303030303030;
    // The parts between the fields, as numbers: right-aligned, as an mstore that ends at the field wants them.
    uint256 private constant HEAD = 0x5b302c22; // [0,"
    uint256 private constant AFTER_KEY = 0x222c; // ",
    uint256 private constant RECEIPT = 0x2c313437322c5b5b2264222c22; // ,1472,[["d","
    uint256 private constant ORDER = 0x2c313437332c5b5b2264222c22; // ,1473,[["d","
    uint256 private constant BEFORE_AMOUNT = 0x225d2c5b22616d6f756e74222c22; // "],["amount","
    uint256 private constant BEFORE_X = 0x225d2c5b2278222c22; // "],["x","
    uint256 private constant BEFORE_EXPIRATION = 0x225d2c5b2265787069726174696f6e222c22; // "],["expiration","
    uint256 private constant TAIL = 0x225d5d2c22225d; // "]],""]

    /// Bytes from a free memory pointer to the end of any text: 171 + 29 + 18 + 64 + 7 fit.
    uint256 private constant ROOM = 320;

    /// The balance receipt, kind 1472.
    function receipt(uint256 pk, uint256 time, uint256 channel, uint256 amount, uint256 x)
        internal
        view
        returns (bytes32)
    {
        (uint256 high, uint256 low) = hexOf(x);
        uint256 end;
        uint256 edge;
        assembly ("memory-safe") {
            end := add(mload(0x40), ROOM)
            mstore(sub(end, 32), TAIL)
            mstore(sub(end, 39), low)
            mstore(sub(end, 71), high)
            mstore(sub(end, 103), BEFORE_X)
            edge := sub(end, 80)
        }
        return finish(RECEIPT, pk, time, channel, amount, edge, end);
    }

    /// The order to lock a part of the pool in a channel, kind 1473.
    function order(uint256 pk, uint256 time, uint256 channel, uint256 amount, uint256 expiration)
        internal
        view
        returns (bytes32)
    {
        uint256 digits = shortDecimalOf(expiration) | ZEROES;
        uint256 end;
        uint256 edge;
        assembly ("memory-safe") {
            end := add(mload(0x40), ROOM)
            mstore(sub(end, 32), TAIL)
            mstore(sub(end, 39), digits)
            mstore(sub(end, 49), BEFORE_EXPIRATION)
            edge := sub(end, 35)
        }
        return finish(ORDER, pk, time, channel, amount, edge, end);
    }

    /// Writes all that stands before `edge`, where the amount ends, and hashes up to `end`.
    function finish(
        uint256 kind,
        uint256 pk,
        uint256 time,
        uint256 channel,
        uint256 amount,
        uint256 edge,
        uint256 end
    ) private view returns (bytes32 id) {
        {
            uint256 digits = decimalOf(amount);
            uint256 count = digitCount(digits);
            assembly ("memory-safe") {
                mstore(sub(edge, 32), or(digits, ZEROES))
                edge := sub(edge, count)
                mstore(sub(edge, 32), BEFORE_AMOUNT)
            }
        }
        {
            (uint256 high, uint256 low) = hexOf(channel);
            uint256 digits = shortDecimalOf(time) | ZEROES;
            assembly ("memory-safe") {
                mstore(sub(edge, 46), low)
                mstore(sub(edge, 78), high)
                mstore(sub(edge, 110), kind)
                mstore(sub(edge, 123), digits)
                mstore(sub(edge, 133), AFTER_KEY)
            }
        }
        {
            (uint256 high, uint256 low) = hexOf(pk);
            assembly ("memory-safe") {
                mstore(sub(edge, 135), low)
                mstore(sub(edge, 167), high)
                mstore(sub(edge, 199), HEAD)
                edge := sub(edge, 171)
                if iszero(staticcall(gas(), 2, edge, sub(end, edge), 0, 32)) { revert(0, 0) }
                id := mload(0)
            }
        }
    }

    /// The 64 characters of lowercase hex, as two words.
    function hexOf(uint256 value) internal pure returns (uint256 high, uint256 low) {
        high = hexOfHalf(value >> 128);
        low = hexOfHalf(value & type(uint128).max);
    }

    /// 16 bytes to 32 characters: spread to one nibble a byte, then '0' + nibble, + 39 from 10 on.
    function hexOfHalf(uint256 x) private pure returns (uint256) {
        unchecked {
            x = (x | (x << 64)) & 0x0000000000000000FFFFFFFFFFFFFFFF0000000000000000FFFFFFFFFFFFFFFF;
            x = (x | (x << 32)) & 0x00000000FFFFFFFF00000000FFFFFFFF00000000FFFFFFFF00000000FFFFFFFF;
            x = (x | (x << 16)) & 0x0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF;
            x = (x | (x << 8)) & 0x00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF;
            x = (x | (x << 4)) & 0x0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F;
            uint256 above_9 = ((x + 0x0606060606060606060606060606060606060606060606060606060606060606) >> 4)
                & 0x0101010101010101010101010101010101010101010101010101010101010101;
            return x + ZEROES + above_9 * 39;
        }
    }

    /// 32 decimal digits of a value below 2^96, one a byte (0 to 9), leading zeros included.
    function decimalOf(uint256 value) internal pure returns (uint256) {
        unchecked {
            return shortDecimalOf(value + (value / 1e16) * (2 ** 128 - 1e16));
        }
    }

    /// The same below 10^16, or of two such numbers in the halves of a word. Each step splits all lanes at once:
    /// q = lane / d by a multiplication with ceil(2^k / d), which is exact because lane * d < 2^k, then
    /// lane - q*d stays and q goes to the upper half of the lane.
    function shortDecimalOf(uint256 x) internal pure returns (uint256) {
        unchecked {
            uint256 q = ((x * 24178516392292584) >> 81) & 0x0000000000000000000000000fffffff0000000000000000000000000fffffff;
            x += q * (2 ** 64 - 1e8);
            q = ((x * 109951163) >> 40) & 0x0000000000003fff0000000000003fff0000000000003fff0000000000003fff;
            x += q * (2 ** 32 - 1e4);
            q = ((x * 10486) >> 20) & 0x0000007f0000007f0000007f0000007f0000007f0000007f0000007f0000007f;
            x += q * (2 ** 16 - 100);
            q = ((x * 103) >> 10) & 0x000f000f000f000f000f000f000f000f000f000f000f000f000f000f000f000f;
            return x + q * (2 ** 8 - 10);
        }
    }

    /// How many of them count: without the leading zero bytes, but at least one.
    function digitCount(uint256 digits) internal pure returns (uint256 count) {
        assembly ("memory-safe") {
            count := shl(4, gt(digits, 0xffffffffffffffffffffffffffffffff))
            digits := shr(shl(3, count), digits)
            let step := shl(3, gt(digits, 0xffffffffffffffff))
            count := add(count, step)
            digits := shr(shl(3, step), digits)
            step := shl(2, gt(digits, 0xffffffff))
            count := add(count, step)
            digits := shr(shl(3, step), digits)
            step := shl(1, gt(digits, 0xffff))
            count := add(count, step)
            digits := shr(shl(3, step), digits)
            count := add(add(count, 1), gt(digits, 0xff))
        }
    }
}
