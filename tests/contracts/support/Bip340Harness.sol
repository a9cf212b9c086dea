// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Bip340} from "./Bip340.sol";

/// The library as a contract: many signatures a call, messages of any length, gas of one check. For tests only.
contract Bip340Harness {
    uint256 private constant ROW = 160;

    /// Rows of px, message, rx, s, ry, 32 bytes each; one byte an answer.
    function verifyMany(bytes calldata rows) external view returns (bytes memory answers) {
        answers = new bytes(rows.length / ROW);
        for (uint256 i = 0; i < answers.length; ++i) {
            (uint256 px, bytes32 message, uint256 rx, uint256 s, uint256 ry) =
                abi.decode(rows[i * ROW:(i + 1) * ROW], (uint256, bytes32, uint256, uint256, uint256));
            if (Bip340.verify(px, message, rx, s, ry)) answers[i] = 0x01;
        }
    }

    function verifyBytes(uint256 px, bytes calldata message, uint256 rx, uint256 s, uint256 ry)
        external
        view
        returns (bool)
    {
        bytes32 e = sha256(abi.encodePacked(Bip340.TAG, Bip340.TAG, rx, px, message));
        return Bip340.verifyChallenge(px, uint256(e), rx, s, ry);
    }

    function isEvenPoint(uint256 x, uint256 y) external pure returns (bool) {
        return Bip340.isEvenPoint(x, y);
    }

    function gasOfVerify(uint256 px, bytes32 message, uint256 rx, uint256 s, uint256 ry)
        external
        view
        returns (bool ok, uint256 used)
    {
        used = gasleft();
        ok = Bip340.verify(px, message, rx, s, ry);
        used -= gasleft();
    }
}
